/* SPDX-License-Identifier: MIT
 *
 * watch_dir.c - says what happens below a directory: the one named as argument, until it is interrupted, or one that it makes for itself, in which another task does some things.
 */
#include <stdio.h>
#include <string.h>
#include <weft.h>

static const char *word(const fsevent *e)
{
	switch (e->what) {
	case FS_CREATED:
		return "created";
	case FS_REMOVED:
		return "removed";
	case FS_CHANGED:
		return "changed";
	case FS_CLOSED:
		return "written";
	case FS_ATTRIBS:
		return "attributes";
	case FS_RENAMED:
		return "renamed";
	default:
		return "too much happened";
	}
}

/* Until `last` is gone. */
static int say(fswatch *w, const char *dir, const char *last)
{
	size_t skip = strlen(dir);
	fsevent e;
	int rc;

	while ((rc = fswatch_next(w, &e)) == 0) {
		const char *path = strlen(e.path) > skip ? e.path + skip + 1 : ".";

		printf("%s%s %s", word(&e), e.is_dir ? " directory" : "", path);
		printf(e.from ? " (was %s)\n" : "\n", e.from ? e.from + skip + 1 : "");
		fflush(stdout);
		if (last && e.what == FS_REMOVED && strcmp(path, last) == 0)
			break;
	}
	return rc;
}

static int do_things(void *arg)
{
	char a[64], b[64], sub[64];

	snprintf(a, sizeof a, "%s/draft", (char *)arg);
	snprintf(sub, sizeof sub, "%s/texts", (char *)arg);
	snprintf(b, sizeof b, "%s/texts/final", (char *)arg);
	file_write_all(a, "a text", 6, 0600, 0);
	fs_chmod(a, 0400);
	fs_rename(a, b);
	return fs_remove_all(sub);
}

static int made(void)
{
	char dir[] = "/tmp/watch_dir.XXXXXX", sub[64];
	fswatch *w = NULL;
	task *t;
	int rc = fs_temp_dir(dir);

	if (rc)
		return rc;
	snprintf(sub, sizeof sub, "%s/texts", dir);
	rc = fs_mkdir(sub, 0700);
	if (rc == 0)
		rc = fswatch_make(&w);
	if (rc == 0)
		rc = fswatch_add(w, dir, FS_ALL, FS_TREE);
	if (rc == 0)
		rc = go_opts(&t, do_things, dir, NULL);
	if (rc == 0) {
		rc = say(w, dir, "texts");
		task_join(t, NULL);
	}
	fswatch_close(w);
	fs_remove_all(dir);
	return rc;
}

static int given(const char *dir)
{
	fswatch *w;
	int rc = fswatch_make(&w);

	if (rc)
		return rc;
	rc = fswatch_add(w, dir, FS_ALL, FS_TREE);
	if (rc == 0)
		rc = say(w, dir, NULL);
	fswatch_close(w);
	return rc;
}

WEFT_MAIN(argc, argv)
{
	int rc = argc > 1 ? given(argv[1]) : made();

	if (rc)
		fprintf(stderr, "watch_dir: %s\n", weft_strerror(rc));
	return rc != 0;
}
