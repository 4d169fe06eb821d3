/* SPDX-License-Identifier: MIT
 *
 * place.c - CPUs for a runtime's threads. See place.h.
 */
#include "core/place.h"

#include "base/check.h"
#include "core/runtime.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* --- options --- */

static const char *env_text(const char *name)
{
	const char *s = getenv(name);

	return s && *s ? s : NULL;
}

/* The CPUs that may be asked for: those of a machine that is shown, or those that the caller's thread may use. */
static int allowed(const struct placement *p, struct cpuset *out)
{
	if (p->topo->here)
		return weft__cpuset_get(out);
	memset(out, 0, sizeof *out);
	for (unsigned cpu = 0; cpu < p->topo->ncpus; cpu++) {
		if (topo_has(p->topo, (int)cpu))
			cpuset_add(out, cpu);
	}
	return 0;
}

/* Reads a list of CPUs into p->set. */
static int read_set(struct placement *p, const char *what, const char *list)
{
	struct cpuset may, set;
	char text[200];
	int rc;

	rc = weft__cpuset_parse(list, &set);
	if (rc || cpuset_count(&set) == 0) {
		weft__log("%s=%s is no list of CPUs, as 0-3,8 is (numbers below %d)", what, list, CPUS_MAX);
		return WEFT_EINVAL;
	}
	rc = allowed(p, &may);
	if (rc)
		return rc;
	for (unsigned cpu = weft__cpuset_next(&set, 0); cpu < CPUS_MAX; cpu = weft__cpuset_next(&set, cpu + 1)) {
		if (cpuset_has(&may, cpu))
			continue;
		weft__log("%s=%s: CPU %u is not %s; those that may be used are %s", what, list, cpu,
			  topo_has(p->topo, (int)cpu) ? "allowed" : "there", weft__cpuset_print(&may, text, sizeof text));
		return WEFT_EINVAL;
	}
	p->set = set;
	return 0;
}

static int read_pin(bool asked, bool *out)
{
	const char *s = env_text("WEFT_PIN");

	*out = asked || (s && s[0] == '1');
	if (asked || !s || ((s[0] == '0' || s[0] == '1') && !s[1]))
		return 0;
	weft__log("WEFT_PIN=%s is not 0 or 1", s);
	return WEFT_EINVAL;
}

static int read_steal(enum weft_steal asked, uint8_t *out)
{
	static const char *const names[] = {[WEFT_STEAL_RANDOM] = "random", [WEFT_STEAL_ADAPTIVE] = "adaptive", [WEFT_STEAL_NEAR] = "near"};
	const char *s = env_text("WEFT_STEAL");

	if ((unsigned)asked > WEFT_STEAL_NEAR) {
		weft__log("weft_opts.steal=%d is not %d to %d", (int)asked, WEFT_STEAL_DEFAULT, WEFT_STEAL_NEAR);
		return WEFT_EINVAL;
	}
	*out = (uint8_t)asked;
	if (asked != WEFT_STEAL_DEFAULT)
		return 0;
	*out = WEFT_STEAL_RANDOM;
	if (!s)
		return 0;
	for (unsigned i = WEFT_STEAL_RANDOM; i < ARRAY_LEN(names); i++) {
		*out = (uint8_t)i;
		if (strcmp(s, names[i]) == 0)
			return 0;
	}
	weft__log("WEFT_STEAL=%s is not random, adaptive or near", s);
	return WEFT_EINVAL;
}

static int read_name(struct placement *p, const char *name)
{
	if (!name)
		name = "weft";
	if (!*name || strlen(name) > WORKER_NAME_MAX) {
		weft__log("weft_opts.worker_name=%s has not 1 to %d bytes", name, WORKER_NAME_MAX);
		return WEFT_EINVAL;
	}
	for (const char *c = name; *c; c++) {
		if (((unsigned char)*c < ' ') || *c == 0x7f) {
			weft__log("weft_opts.worker_name has a control character (%#x)", (unsigned)*c);
			return WEFT_EINVAL;
		}
	}
	memcpy(p->name, name, strlen(name) + 1);
	return 0;
}

/* --- order --- */

enum { RANK, PACKAGE, NODE, CACHE, CORE, CPU, KEYS }; /* in order of weight; RANK: which one of its core's CPUs in the set it is */

struct seat_key {
	uint16_t key[KEYS];
};

static int compare(const void *a, const void *b)
{
	const struct seat_key *x = a, *y = b;

	for (int i = 0; i < KEYS; i++) {
		if (x->key[i] != y->key[i])
			return x->key[i] < y->key[i] ? -1 : 1;
	}
	return 0;
}

static struct seat_key key_of(const struct topo *t, const struct cpuset *set, unsigned cpu)
{
	struct topo_cpu at = {.core = (uint16_t)cpu, .cache = (uint16_t)cpu, .package = UINT16_MAX}; /* of which nothing is known */
	struct seat_key k = {.key = {[CPU] = (uint16_t)cpu}};

	if (topo_has(t, (int)cpu))
		at = t->cpu[cpu];
	for (unsigned i = weft__cpuset_next(set, 0); i < cpu; i = weft__cpuset_next(set, i + 1))
		k.key[RANK] += topo_level(t, (int)i, (int)cpu) == TOPO_CORE;
	k.key[PACKAGE] = at.package;
	k.key[NODE] = at.node;
	k.key[CACHE] = at.cache;
	k.key[CORE] = at.core;
	return k;
}

int weft__place_order(const struct topo *t, const struct cpuset *set, uint16_t *out)
{
	struct seat_key *keys = malloc(cpuset_count(set) * sizeof *keys);
	unsigned n = 0;

	if (!keys)
		return WEFT_ENOMEM;
	for (unsigned cpu = weft__cpuset_next(set, 0); cpu < CPUS_MAX; cpu = weft__cpuset_next(set, cpu + 1))
		keys[n++] = key_of(t, set, cpu);
	qsort(keys, n, sizeof *keys, compare);
	for (unsigned i = 0; i < n; i++)
		out[i] = keys[i].key[CPU];
	free(keys);
	return 0;
}

/* --- up and down --- */

int weft__place_up(struct placement *p, const weft_opts *o)
{
	const char *what = o->cpuset ? "weft_opts.cpuset" : "WEFT_CPUSET", *list = o->cpuset ? o->cpuset : env_text(what);
	int rc = read_steal(o->steal, &p->steal);

	if (!rc)
		rc = read_name(p, o->worker_name);
	if (!rc)
		rc = read_pin(o->pin_workers, &p->pins);
	if (rc)
		return rc;
	if (list || p->pins || p->steal == WEFT_STEAL_NEAR || weft__topo_nodes() > 1)
		p->topo = weft__topo();
	p->tracks = p->steal == WEFT_STEAL_NEAR && !p->pins;
	if (!list && !p->pins)
		return 0;
	p->binds = p->topo->here;
	rc = list ? read_set(p, what, list) : allowed(p, &p->set);
	p->ncpus = rc ? 0 : cpuset_count(&p->set);
	if (rc || !p->pins)
		return rc;
	p->order = calloc(p->ncpus, sizeof *p->order);
	return p->order ? weft__place_order(p->topo, &p->set, p->order) : WEFT_ENOMEM;
}

void weft__place_down(struct placement *p)
{
	if (p->caller_bound)
		(void)weft__cpuset_bind(&p->caller); /* refused if all of them are gone: then it may use what there is */
	free(p->order);
}

/* --- binding --- */

/* What the thread of worker i, or one aside, keeps to. */
static struct cpuset cpus_of(const struct placement *p, int i)
{
	struct cpuset one = {.bits = {0}};

	if (i == PLACE_ASIDE || !p->pins)
		return p->set;
	cpuset_add(&one, (unsigned)place_cpu(p, (unsigned)i));
	return one;
}

int weft__place_caller(struct placement *p)
{
	struct cpuset set;
	int rc;

	if (!p->binds)
		return 0;
	set = cpus_of(p, 0);
	rc = weft__cpuset_get(&p->caller);
	if (!rc)
		rc = weft__cpuset_bind(&set);
	p->caller_bound = !rc;
	return rc;
}

static int create_on(pthread_attr_t *attr, const struct cpuset *set, pthread_t *out, void *(*fn)(void *), void *arg)
{
	int rc = pthread_attr_setaffinity_np(attr, sizeof *set, (const cpu_set_t *)(const void *)set);

	return rc ? rc : pthread_create(out, attr, fn, arg);
}

int weft__place_thread(const struct placement *p, int i, const pthread_attr_t *like, pthread_t *out, void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	struct cpuset set;
	size_t stack;
	int rc;

	if (!p->binds)
		return -pthread_create(out, like, fn, arg);
	rc = pthread_attr_init(&attr);
	if (rc)
		return -rc;
	if (like && pthread_attr_getstacksize(like, &stack) == 0)
		(void)pthread_attr_setstacksize(&attr, stack); /* it has taken it before */
	set = cpus_of(p, i);
	rc = create_on(&attr, &set, out, fn, arg);
	if (rc == EINVAL && p->pins) /* that CPU is not there, or not ours, any more */
		rc = create_on(&attr, &p->set, out, fn, arg);
	if (rc == EINVAL && weft__cpuset_get(&set) == 0) /* none of the set is: wherever its maker may be */
		rc = create_on(&attr, &set, out, fn, arg);
	pthread_attr_destroy(&attr);
	return -rc;
}

void weft__place_note(struct worker *w)
{
	int cpu = weft__cpu_here();

	if (cpu == load_relaxed(&w->cpu)) /* own word */
		return;
	store_relaxed(&w->cpu, cpu);                   /* a hint to others */
	add_relaxed(&w->rt->place.moves, (uint32_t)1); /* as is this */
}
