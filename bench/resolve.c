/* SPDX-License-Identifier: MIT
 *
 * resolve.c - P54: what does it cost to learn a name's addresses?
 *
 * An address asks nobody. A name of /etc/hosts other than localhost asks the system's resolver, on a thread of the lane for names; a hundred tasks that ask for the same at once
 * share what is under way.
 */
#include "bench.h"

#define TASKS 100

static int64_t ask(uint64_t n, void *host)
{
	int64_t start = bench_now();

	for (uint64_t i = 0; i < n; i++) {
		weft_addr *a;

		MUST(dns_resolve(&a, host, "80", NULL));
		dns_free(a);
	}
	return bench_now() - start;
}

static void ask_some(const char *host, uint64_t n, waitgroup *g)
{
	(void)ask(n, (void *)host);
	wg_done(g);
}

static int64_t ask_many(uint64_t n, void *host)
{
	uint64_t each = (n + TASKS - 1) / TASKS;
	waitgroup g = {0};
	int64_t start = bench_now();

	wg_add(&g, TASKS);
	for (int i = 0; i < TASKS; i++)
		MUST(go(ask_some, (const char *)host, each, &g));
	MUST(wg_wait(&g));
	return bench_scale(bench_now() - start, n, each * TASKS);
}

/* The first name of /etc/hosts that somebody has to be asked for. */
static bool own_name(char *name)
{
	char line[512], at[128];
	FILE *f = fopen("/etc/hosts", "re");
	bool have = false;

	while (f && !have && fgets(line, sizeof line, f))
		have = sscanf(line, "%127[0-9.] %127[a-zA-Z0-9.-]", at, name) == 2 && strcmp(name, "localhost") != 0;
	if (f)
		fclose(f);
	return have;
}

static int body(void *arg)
{
	struct bench *b = arg;
	char name[128];

	bench_measure(b, "P54", "an address", ask, (void *)"192.0.2.1");
	if (!own_name(name)) {
		fprintf(stderr, "bench: /etc/hosts has no name but localhost\n");
		return 0;
	}
	bench_measure(b, "P54", "a name of /etc/hosts", ask, name);
	bench_measure(b, "P54", "a name of /etc/hosts, 100 tasks", ask_many, name);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
