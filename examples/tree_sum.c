/* SPDX-License-Identifier: MIT
 *
 * tree_sum.c - checksums of all files below the directory named as argument, or below one that it makes for itself: a task walks through the tree and starts one for each file, eight at a time.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define AT_A_TIME 8
#define BLOCK ((size_t)64 * 1024)

struct sum {
	struct sum *next;
	char *path;
	uint64_t bytes, hash;
	int error;
};

struct tree {
	weft_group *group;
	struct sum *first, **last; /* in the order of the walk */
};

/* FNV-1a, 64 bits. */
static uint64_t hash_more(uint64_t h, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

static int sum_file(void *arg)
{
	struct sum *s = arg;
	unsigned char *buf = malloc(BLOCK);
	weft_file *f = NULL;
	ssize_t n;

	s->hash = 0xcbf29ce484222325u;
	n = buf ? file_open(&f, s->path, O_RDONLY, 0) : WEFT_ENOMEM;
	while (n >= 0 && f && (n = file_read(f, buf, BLOCK)) > 0) {
		s->hash = hash_more(s->hash, buf, (size_t)n);
		s->bytes += (uint64_t)n;
	}
	file_close(f);
	free(buf);
	s->error = n < 0 ? (int)n : 0;
	return s->error;
}

static int visit(const char *path, const fs_dirent *e, int error, void *arg)
{
	struct tree *t = arg;
	struct sum *s;

	if (error) {
		printf("%s: %s\n", path, weft_strerror(error));
		return 0;
	}
	if (e->type != DT_REG)
		return 0;
	s = calloc(1, sizeof *s);
	if (!s || !(s->path = strdup(path))) {
		free(s);
		return WEFT_ENOMEM;
	}
	*t->last = s;
	t->last = &s->next;
	return group_go(t->group, sum_file, s); /* waits while eight are at work */
}

static int sum_tree(const char *dir)
{
	struct tree t = {.last = &t.first};
	uint64_t bytes = 0;
	int rc = 0, files = 0;

	WITH_GROUP (g, .policy = WEFT_COLLECT, .max = AT_A_TIME) {
		t.group = &g;
		rc = fs_walk(dir, visit, &t);
		group_wait(&g);
	}
	for (struct sum *s = t.first, *next; s; s = next) {
		const char *shown = s->path + strlen(dir);

		next = s->next;
		if (s->error)
			printf("%-16s %10s %s\n", weft_strerror(s->error), "", shown);
		else
			printf("%016" PRIx64 " %10" PRIu64 " %s\n", s->hash, s->bytes, shown);
		bytes += s->bytes;
		files += !s->error;
		free(s->path);
		free(s);
	}
	printf("%d files, %" PRIu64 " bytes\n", files, bytes);
	return rc;
}

/* A tree of its own. */
static int sum_made(void)
{
	static const char *const dirs[] = {"/a", "/a/b", "/c"};
	static const char *const names[] = {"/one", "/a/two", "/a/b/three", "/a/b/empty", "/c/large"};
	static const size_t sizes[] = {1, 100, 5000, 0, 3000000};
	char dir[] = "/tmp/tree_sum.XXXXXX", path[64], *text = malloc(3000000);
	int rc = text ? fs_temp_dir(dir) : WEFT_ENOMEM;

	if (rc)
		return rc;
	for (size_t i = 0; i < 3000000; i++)
		text[i] = (char)(i % 251);
	for (size_t i = 0; rc == 0 && i < sizeof dirs / sizeof *dirs; i++) {
		snprintf(path, sizeof path, "%s%s", dir, dirs[i]);
		rc = fs_mkdir(path, 0700);
	}
	for (size_t i = 0; rc == 0 && i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s%s", dir, names[i]);
		rc = file_write_all(path, text, sizes[i], 0600, 0);
	}
	if (rc == 0)
		rc = sum_tree(dir);
	free(text);
	fs_remove_all(dir);
	return rc;
}

WEFT_MAIN(argc, argv)
{
	int rc = argc > 1 ? sum_tree(argv[1]) : sum_made();

	if (rc)
		fprintf(stderr, "tree_sum: %s\n", weft_strerror(rc));
	return rc != 0;
}
