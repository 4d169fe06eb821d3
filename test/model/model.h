/* SPDX-License-Identifier: MIT
 *
 * model.h - runs Relacy models of the real headers, and shows that each fails when it should.
 *
 * A model is a list of scenarios (Relacy test suites) and a list of mutations.  Its program emits TAP: every scenario
 * holds with full fences and with a membarrier on the rare side (base/asym.h); and for every mutation some scenario
 * fails.  Each case runs in a process of its own.
 *
 *   ./model               everything
 *   ./model --show NAME   one mutation's failure, with Relacy's history
 *   ./model --audit       weakens every atomic the model reaches in turn, and says which nobody notices
 *
 * Two kinds of mutations:
 *   an order   { "what", "function", "operation", "&operand" }: that site of a header becomes relaxed
 *              ("fence" or "heavy", "": the fence is dropped)
 *   a step     { "what" }: the model asks MUTATED("what") and leaves the step out
 * One that is never reached counts as not caught.
 *
 * Relacy explores orders of execution and stale loads; it does not let a load see a store of the future (load
 * buffering).  What only that would break is checked in a .pml instead (wsq.pml).
 */
#ifndef WEFT_TEST_MODEL_H
#define WEFT_TEST_MODEL_H

#define WEFT_MODEL
#include <cerrno>
#pragma push_macro("EAGAIN") /* Relacy has its own, which are small numbers */
#pragma push_macro("EBUSY")
#pragma push_macro("EINVAL")
#pragma push_macro("ETIMEDOUT")
#include <relacy/relacy.hpp>
#pragma pop_macro("EAGAIN")
#pragma pop_macro("EBUSY")
#pragma pop_macro("EINVAL")
#pragma pop_macro("ETIMEDOUT")

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <streambuf>
#include <string>
#include <csignal>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

struct mutation {
	const char *what;
	const char *func, *op, *operand; /* an order; NULL: a step */
};

struct scenario {
	const char *name;
	bool (*run)(rl::test_params &); /* rl::simulate<suite> */
	unsigned iterations;            /* of the random scheduler, whose seed is the iteration's number */
	unsigned bound;                 /* also searches in full all executions with so many preemptions; 0: too many to search */
};

static const struct mutation *model_mutation; /* in force in this process; NULL: none */
static bool model_hit;                        /* it was reached */
static bool model_membarrier;                 /* asym_light is free, asym_heavy orders everybody */
static bool model_listing;                    /* print every site */

inline bool model_weak(const char *func, const char *op, const char *what)
{
	if (model_listing)
		printf("%s\t%s\t%s\n", func, op, what);
	if (!model_mutation || !model_mutation->func || strcmp(func, model_mutation->func) || strcmp(op, model_mutation->op) ||
	    strcmp(what, model_mutation->operand))
		return false;
	model_hit = true;
	return true;
}

static inline bool model_step(const char *what)
{
	if (!model_mutation || model_mutation->func || strcmp(what, model_mutation->what))
		return false;
	model_hit = true;
	return true;
}

#define MUTATED(what)                                     \
	({                                                \
		static const bool on_ = model_step(what); \
		on_;                                      \
	})

#include "base/asym.h"
#undef asym_light
#undef asym_heavy
#define asym_light() (model_membarrier ? (void)0 : fence_seq_cst())
#define asym_heavy() (MODEL_IS_WEAK("heavy", "") ? (void)0 : model_membarrier ? rl::systemwide_fence($) : fence_seq_cst())

static int model_spawn(int (*fn)(void *), void *arg)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int rc;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a model that is stopped leaves nobody behind */
		rc = fn(arg);

		fflush(stdout);
		_exit(rc);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

enum { HELD, FAILED, UNREACHED }; /* anything else: it crashed */

/* Where Relacy prints to. No std::ostringstream: Relacy replaces operator new while a model runs. */
struct sink : std::streambuf {
	bool show;

	int overflow(int c)
	{
		if (show)
			putchar(c);
		return c;
	}
};

struct model_case {
	const struct scenario *s;
	const struct mutation *m;
	bool membarrier, show, search;
};

static int model_run_case(void *arg)
{
	struct model_case *c = (struct model_case *)arg;
	sink buf, none;
	std::ostream out(&buf), progress(&none);
	rl::test_params p;
	bool held;

	buf.show = c->show;
	none.show = false;

	model_mutation = c->m;
	model_membarrier = c->membarrier;
	p.iteration_count = c->s->iterations;
	p.output_stream = &out;
	p.progress_stream = &progress;
	p.execution_depth_limit = 3000;
	if (c->search) {
		p.search_type = rl::fair_context_bound_scheduler_type;
		p.context_bound = c->s->bound;
	}
	held = c->s->run(p);
	if (c->m && !model_hit)
		return UNREACHED;
	return held ? HELD : FAILED;
}

/* Whether some scenario, in some mode, fails under m. */
static int model_try(const struct scenario *s, size_t ns, const struct mutation *m, bool show)
{
	int result = UNREACHED;

	for (size_t i = 0; i < ns; i++) {
		for (int mode = 0; mode < 2; mode++) {
			struct model_case c = {&s[i], m, mode == 1, show, false};
			int rc = model_spawn(model_run_case, &c);

			if (rc == HELD)
				result = HELD;
			else if (rc != UNREACHED)
				return rc;
		}
	}
	return result;
}

static int model_list(void *arg)
{
	model_listing = true;
	return model_run_case(arg);
}

static int model_audit(const struct scenario *s, size_t ns)
{
	std::set<std::string> sites;
	char line[1000];

	for (size_t i = 0; i < ns; i++) {
		struct model_case c = {&s[i], NULL, false, false, false};
		int fd[2], status;
		pid_t pid;
		FILE *f;

		if (pipe(fd))
			return 1;
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			dup2(fd[1], 1);
			close(fd[0]);
			model_list(&c);
			fflush(stdout);
			_exit(0);
		}
		close(fd[1]);
		f = fdopen(fd[0], "r");
		while (fgets(line, sizeof line, f))
			sites.insert(std::string(line, strcspn(line, "\n")));
		fclose(f);
		waitpid(pid, &status, 0);
	}
	for (const std::string &site : sites) {
		std::string f = site.substr(0, site.find('\t')), rest = site.substr(site.find('\t') + 1);
		std::string op = rest.substr(0, rest.find('\t')), what = rest.substr(rest.find('\t') + 1);
		struct mutation m = {site.c_str(), f.c_str(), op.c_str(), what.c_str()};

		bool caught = model_try(s, ns, &m, false) == FAILED;

		printf("%-10s %s: %s(%s)\n", caught ? "caught" : "UNNOTICED", f.c_str(), op.c_str(), what.c_str());
		fflush(stdout);
	}
	return 0;
}

static int model_main(int argc, char **argv, const struct scenario *s, size_t ns, const struct mutation *m, size_t nm)
{
	size_t searches = 0;
	int n = 0, bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && !strcmp(argv[1], "--audit"))
		return model_audit(s, ns);
	if (argc > 2 && !strcmp(argv[1], "--show")) {
		for (size_t i = 0; i < nm; i++)
			if (!strcmp(argv[2], m[i].what))
				return model_try(s, ns, &m[i], true) != FAILED;
		return 2;
	}
	for (size_t i = 0; i < ns; i++)
		searches += s[i].bound != 0;
	printf("TAP version 13\n1..%zu\n", 2 * (ns + searches) + nm);
	for (size_t i = 0; i < ns; i++) {
		for (int k = 0; k < (s[i].bound ? 4 : 2); k++) {
			struct model_case c = {&s[i], NULL, k % 2 == 1, false, k >= 2};
			bool ok = model_spawn(model_run_case, &c) == HELD;

			printf("%s %d - holds: %s, %s%s\n", ok ? "ok" : "not ok", ++n, s[i].name,
			       c.membarrier ? "membarrier" : "full fences", c.search ? ", searched" : "");
			if (!ok) {
				c.show = true;
				model_spawn(model_run_case, &c);
				bad = 1;
			}
		}
	}
	for (size_t i = 0; i < nm; i++) {
		int rc = model_try(s, ns, &m[i], false);

		printf("%s %d - caught: %s%s\n", rc == FAILED ? "ok" : "not ok", ++n, m[i].what,
		       rc == FAILED      ? ""
		       : rc == HELD      ? " (nobody noticed)"
		       : rc == UNREACHED ? " (names no site)"
					 : " (crashed)");
		bad |= rc != FAILED;
	}
	return bad;
}

#define MODEL_MAIN(scenarios, mutations)                                                                        \
	int main(int argc, char **argv)                                                                         \
	{                                                                                                       \
		return model_main(argc, argv, scenarios, sizeof(scenarios) / sizeof((scenarios)[0]), mutations, \
				  sizeof(mutations) / sizeof((mutations)[0]));                                  \
	}

#endif
