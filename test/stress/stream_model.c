/* SPDX-License-Identifier: MIT
 *
 * stream_model.c - random pipelines, next to plain loops over arrays that say what must come out of them: the same elements, in the same order, and the same end or error of the same stage.
 *
 * A pipeline is a random source and random stages, each with its own step of the model. It is read in random ways: in pieces, without waiting, by tasks that are cancelled meanwhile, or not to its end. Stages behind which the order
 * is nobody's promise are compared as sets. WEFT_STREAM_PIPELINES: how many of them.
 */
#include "rt.h"

#include "weft/stream.h"
#include <stdlib.h>

#define MOST 4096

static uint64_t rng_state;

static uint32_t rnd(uint32_t n)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (uint32_t)(rng_state >> 33) % n;
}

/* What is to come. */
struct model {
	int64_t v[MOST];
	size_t n;
	int err; /* behind them; 0: the end */
	char where[WEFT_STREAM_NAME_MAX + 1];
	bool any_order;
	bool some; /* nobody says how many come before the error */
};

static struct model m;
static uint64_t seed;
static char story[1024];

static void tell(const char *fmt, long long a, long long b)
{
	size_t at = strlen(story);

	snprintf(story + at, sizeof story - at, fmt, a, b);
}

static void wrong(const char *what, long long got, long long want)
{
	T_FAIL("seed %llu:%s: %s: %lld in place of %lld", (unsigned long long)seed, story, what, got, want);
}

/* --- functions of elements; each as the stages and as the model call it --- */

struct numbers {
	int64_t a, b;
};

static struct numbers room[64]; /* arguments of this pipeline's functions */
static int rooms;

static struct numbers *numbers(int64_t a, int64_t b)
{
	T_LT(rooms, 64);
	room[rooms] = (struct numbers){a, b};
	return &room[rooms++];
}

/* v + a; an error at multiples of b, if there is one. */
static int64_t mapped(int64_t v, const struct numbers *k)
{
	return v + k->a;
}

static bool map_fails(int64_t v, const struct numbers *k)
{
	return k->b && v % k->b == k->b - 1;
}

static int map_fn(const void *in, void *out, void *arg)
{
	int64_t v = *(const int64_t *)in;

	if (map_fails(v, arg))
		return -700;
	*(int64_t *)out = mapped(v, arg);
	return 0;
}

static int map_yields(const void *in, void *out, void *arg)
{
	for (int64_t i = *(const int64_t *)in & 3; i > 0; i--)
		weft_task_yield();
	return map_fn(in, out, arg);
}

static int map_batch_fn(const void *in, void *out, size_t n, void *arg)
{
	for (size_t i = 0; i < n; i++)
		((int64_t *)out)[i] = mapped(((const int64_t *)in)[i], arg);
	return 0;
}

static bool filtered(int64_t v, const struct numbers *k)
{
	return (uint64_t)v % (uint64_t)k->a != (uint64_t)k->b;
}

static int filter_fn(const void *e, void *arg)
{
	return filtered(*(const int64_t *)e, arg);
}

static ssize_t filter_batch_fn(const void *in, void *out, size_t n, void *arg)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		int64_t v = ((const int64_t *)in)[i];

		((int64_t *)out)[left] = v;
		left += filtered(v, arg);
	}
	return (ssize_t)left;
}

static int below_fn(const void *e, void *arg)
{
	return *(const int64_t *)e < ((struct numbers *)arg)->a;
}

static int scan_fn(void *acc, const void *e, void *arg)
{
	(void)arg;
	*(int64_t *)acc = *(int64_t *)acc / 2 + *(const int64_t *)e;
	return 0;
}

static weft_stream *few_fn(const void *e, void *arg)
{
	uint64_t v = *(const uint64_t *)e;

	(void)arg;
	return v % 4 == 3 ? NULL : weft_stream_range((int64_t)(v % 100), (int64_t)(v % 100 + v % 4), 1);
}

static int zip_fn(const void *a, const void *b, void *out, void *arg)
{
	(void)arg;
	*(int64_t *)out = *(const int64_t *)a * 3 + *(const int64_t *)b;
	return 0;
}

typedef WEFT_STREAM_BATCH(int64_t, 16) some;

static int64_t some_sum(const some *s)
{
	int64_t sum = (int64_t)s->n * 1000;

	for (size_t i = 0; i < s->n; i++)
		sum += s->e[i];
	return sum;
}

static int some_fn(const void *in, void *out, void *arg)
{
	size_t n = *(const size_t *)in;
	some s = {.n = n};

	(void)arg;
	memcpy(s.e, (const char *)in + sizeof n, n * sizeof s.e[0]);
	*(int64_t *)out = some_sum(&s);
	return 0;
}

/* --- stages --- */

static void model_err(int code, const char *where)
{
	m.err = code;
	snprintf(m.where, sizeof m.where, "%s", where);
}

static void model_cut(size_t n)
{
	m.n = n;
	m.err = 0;
}

/* A map under a name of its own, which may fail. */
static weft_stream *stage_map(weft_stream *s, int at, int kind)
{
	struct numbers *k = numbers((int64_t)rnd(20) - 10, !m.any_order && rnd(8) == 0 && kind != 1 ? 5 + (int64_t)rnd(300) : 0);
	size_t left = 0;
	weft_stream_par par = {.tasks = 1 + (int)rnd(4), .unordered = kind == 3};
	char name[16];

	snprintf(name, sizeof name, "map %d", at);
	tell(" map%lld(%lld)", kind, k->b);
	s = kind == 0   ? weft_stream_map(s, 8, map_fn, k)
	    : kind == 1 ? weft_stream_map_batch(s, 8, map_batch_fn, k)
			: weft_stream_parallel(s, 8, map_yields, k, &par);
	for (size_t i = 0; i < m.n; i++) {
		if (!map_fails(m.v[i], k)) {
			m.v[left++] = mapped(m.v[i], k);
			continue;
		}
		model_err(-700, name);
		m.some = kind == 3;
		if (!m.some) /* in order nothing comes behind it */
			break;
	}
	m.n = left;
	m.any_order = m.any_order || kind == 3;
	return weft_stream_name(s, name);
}

static weft_stream *stage_filter(weft_stream *s)
{
	struct numbers *k = numbers(2 + rnd(5), 0);
	uint32_t form = rnd(3);
	size_t left = 0;

	k->b = rnd((uint32_t)k->a);
	tell(" filter(%lld)", k->a, 0);
	for (size_t i = 0; i < m.n; i++)
		if (filtered(m.v[i], k))
			m.v[left++] = m.v[i];
	m.n = left;
	return form == 0   ? weft_stream_filter_batch(s, filter_batch_fn, k)
	       : form == 1 ? weft_stream_filter_map_batch(s, 8, filter_batch_fn, k)
			   : weft_stream_filter(s, filter_fn, k);
}

static weft_stream *stage_counted(weft_stream *s)
{
	size_t n = rnd(400);

	if (rnd(2)) {
		tell(" take(%lld)", (long long)n, 0);
		if (n <= m.n)
			model_cut(n);
		return weft_stream_take(s, n);
	}
	n /= 4;
	tell(" drop(%lld)", (long long)n, 0);
	n = n < m.n ? n : m.n;
	m.n -= n;
	memmove(m.v, m.v + n, m.n * sizeof m.v[0]);
	return weft_stream_drop(s, n);
}

static weft_stream *stage_while(weft_stream *s)
{
	struct numbers *k = numbers((int64_t)rnd(200), 0);
	bool take = rnd(2);
	size_t i = 0;

	tell(" while%lld(%lld)", take, k->a);
	while (i < m.n && m.v[i] < k->a)
		i++;
	if (take) {
		if (i < m.n)
			model_cut(i);
		return weft_stream_take_while(s, below_fn, k);
	}
	m.n -= i;
	memmove(m.v, m.v + i, m.n * sizeof m.v[0]);
	return weft_stream_drop_while(s, below_fn, k);
}

static weft_stream *stage_scan(weft_stream *s)
{
	int64_t acc = rnd(50);

	tell(" scan", 0, 0);
	s = weft_stream_scan(s, 8, &acc, scan_fn, NULL);
	for (size_t i = 0; i < m.n; i++) {
		(void)scan_fn(&acc, &m.v[i], NULL);
		m.v[i] = acc;
	}
	return s;
}

static weft_stream *stage_distinct(weft_stream *s)
{
	bool all = rnd(2);
	size_t left = 0;

	tell(" distinct%lld", all, 0);
	for (size_t i = 0; i < m.n; i++) {
		bool known = false;

		for (size_t k = all || left == 0 ? 0 : left - 1; k < left && !known; k++)
			known = m.v[k] == m.v[i];
		if (!known)
			m.v[left++] = m.v[i];
	}
	m.n = left;
	return all ? weft_stream_distinct(s, 0) : weft_stream_dedup(s);
}

static weft_stream *stage_flat_map(weft_stream *s)
{
	static int64_t all[MOST];
	size_t n = 0;

	if (m.n * 3 > MOST)
		return s;
	tell(" flat_map", 0, 0);
	for (size_t i = 0; i < m.n; i++) {
		uint64_t v = (uint64_t)m.v[i];

		for (uint64_t k = 0; v % 4 != 3 && k < v % 4; k++)
			all[n++] = (int64_t)(v % 100 + k);
	}
	memcpy(m.v, all, n * sizeof all[0]);
	m.n = n;
	return weft_stream_flat_map(s, 8, few_fn, NULL);
}

static weft_stream *stage_window(weft_stream *s)
{
	static int64_t all[MOST];
	size_t size = 1 + rnd(16), step = rnd(3) ? 1 + rnd(20) : size, n = 0, at = 0, seen = 0;
	bool batch = step == size && rnd(2);

	tell(" window(%lld, %lld)", (long long)size, (long long)step);
	for (;; at += step) { /* the window that begins there */
		size_t end = at + size < m.n ? at + size : m.n;
		some w = {.n = 0};

		if (at >= m.n || (end < at + size && end <= seen))
			break;
		for (size_t i = at; i < end; i++)
			w.e[w.n++] = m.v[i];
		all[n++] = some_sum(&w);
		seen = end;
		if (end == m.n && end < at + size)
			break;
	}
	memcpy(m.v, all, n * sizeof all[0]);
	m.n = n;
	s = batch ? weft_stream_batch(s, size, WEFT_FOREVER) : weft_stream_window(s, size, step);
	return weft_stream_map(s, 8, some_fn, NULL);
}

static weft_stream *stage_zip(weft_stream *s)
{
	size_t n = rnd(400);

	tell(" zip(%lld)", (long long)n, 0);
	if (n < m.n)
		model_cut(n);
	for (size_t i = 0; i < m.n; i++)
		m.v[i] = m.v[i] * 3 + (int64_t)i;
	return weft_stream_zip(s, weft_stream_range(0, (int64_t)n, 1), 8, zip_fn, NULL);
}

static weft_stream *stage_joined(weft_stream *s)
{
	size_t n = rnd(100);
	weft_stream *both[2] = {s, weft_stream_range(0, (int64_t)n, 1)};
	bool merge = !m.err && rnd(2);

	tell(" joined%lld(%lld)", merge, (long long)n);
	for (size_t i = 0; i < n && !m.err && m.n < MOST; i++)
		m.v[m.n++] = (int64_t)i;
	m.any_order = m.any_order || merge;
	return merge ? weft_stream_merge(both, 2) : weft_stream_concat(both, 2);
}

static int which_fn(const void *e, void *arg)
{
	return !filtered(*(const int64_t *)e, arg);
}

/* The other end is freed at once. */
static weft_stream *stage_split(weft_stream *s)
{
	struct numbers *k = numbers(3, 1);
	bool part = rnd(2);
	weft_stream *out[2];
	size_t left = 0;

	tell(" split%lld", part, 0);
	if (part) {
		weft_stream_partition(s, 2, out, which_fn, k, 1 + rnd(50), WEFT_STREAM_BLOCK);
		for (size_t i = 0; i < m.n; i++)
			if (filtered(m.v[i], k))
				m.v[left++] = m.v[i];
		m.n = left;
	} else {
		weft_stream_tee(s, 2, out, 1 + rnd(50), WEFT_STREAM_BLOCK);
	}
	weft_stream_free(out[1]);
	return out[0];
}

static weft_stream *stage_buffer(weft_stream *s)
{
	size_t max = 1 + rnd(40);

	tell(" buffer(%lld)", (long long)max, 0);
	return weft_stream_buffer(s, &(weft_stream_opts){.max = max});
}

static weft_stream *any_stage(weft_stream *s, int at)
{
	if (m.any_order) { /* what does not mind the order */
		switch (rnd(4)) {
		case 0:
			return stage_filter(s);
		case 1:
			return stage_buffer(s);
		case 2:
			return stage_split(s);
		default:
			return stage_map(s, at, (int)rnd(4));
		}
	}
	switch (rnd(16)) {
	case 0:
		return stage_filter(s);
	case 1:
	case 2:
		return stage_counted(s);
	case 3:
		return stage_while(s);
	case 4:
		return stage_scan(s);
	case 5:
		return stage_distinct(s);
	case 6:
		return stage_flat_map(s);
	case 7:
	case 8:
		return stage_window(s);
	case 9:
		return stage_zip(s);
	case 10:
		return m.n + 100 < MOST ? stage_joined(s) : s;
	case 11:
		return stage_buffer(s);
	case 12:
		return stage_split(s);
	case 13:
		return stage_map(s, at, m.err ? 2 : 3);
	default:
		return stage_map(s, at, (int)rnd(3));
	}
}

/* --- sources --- */

static int64_t array[MOST];

struct giving {
	weft_chan *c;
	weft_stream_tx *w;
	size_t n, at;
	int err;
};

static int gives(void *arg)
{
	struct giving *g = arg;
	int rc = 0;

	for (size_t i = 0; i < g->n && !rc; i++) { /* until it is freed */
		if (g->c)
			rc = weft_chan_send(g->c, &array[i]);
		else
			rc = weft_stream_write(g->w, &array[i]);
	}
	if (g->c) {
		(void)weft_chan_close(g->c);
		weft_chan_free(g->c);
	} else {
		(void)(g->err ? weft_stream_fail(g->w, g->err) : weft_stream_close(g->w));
		weft_stream_tx_free(g->w);
	}
	return 0;
}

static int next_fn(void *out, void *arg, int64_t deadline)
{
	struct giving *g = arg;

	if (deadline == WEFT_NOW && g->at % 7 == 0)
		return WEFT_EAGAIN;
	if (g->at == g->n)
		return 0;
	*(int64_t *)out = array[g->at++];
	return 1;
}

/* *t: the task that gives, to be joined; NULL: there is none. */
static weft_stream *any_source(struct giving *g, weft_task **t)
{
	size_t n = rnd(4) ? rnd(300) : rnd(4);
	uint32_t kind = rnd(5);
	weft_stream *s = NULL;

	*t = NULL;
	*g = (struct giving){.n = n};
	tell(" source%lld(%lld)", kind, (long long)n);
	m = (struct model){.n = n};
	for (size_t i = 0; i < n; i++)
		m.v[i] = array[i] = kind == 0 ? (int64_t)i : (int64_t)rnd(200);
	switch (kind) {
	case 0:
		return weft_stream_range(0, (int64_t)n, 1);
	case 1:
		return weft_stream_of(array, n, 8);
	case 2:
		g->c = weft_chan_make(8, rnd(20));
		s = weft_stream_rx(weft_chan_rx(g->c));
		break;
	case 3:
		if (rnd(4) == 0)
			g->err = -800;
		T_EQ(weft_stream_open(&s, &g->w, &(weft_stream_opts){.elem = 8, .max = 1 + rnd(20)}), 0);
		s = weft_stream_name(s, "written");
		if (g->err)
			model_err(g->err, "written");
		break;
	default:
		return weft_stream_from(8, next_fn, NULL, g);
	}
	*t = start(gives, g);
	return s;
}

/* --- reading --- */

struct reading {
	weft_stream *s;
	int64_t v[64];
	size_t max;
	ssize_t got;
};

static int reads(void *arg)
{
	struct reading *r = arg;

	r->got = weft_stream_read(r->s, r->v, r->max);
	return 0;
}

/* One read, in one way or another. */
static void any_read(struct reading *r)
{
	weft_task *t;

	r->max = 1 + rnd(64);
	switch (rnd(6)) {
	case 0: /* it may have to wait: then nothing has happened */
		r->got = weft_stream_read_until(r->s, r->v, r->max, WEFT_NOW);
		if (r->got == WEFT_EAGAIN)
			r->got = weft_stream_read(r->s, r->v, r->max);
		break;
	case 1: /* it is cancelled, sooner or later */
		t = start(reads, r);
		for (uint32_t i = rnd(3); i > 0; i--)
			weft_task_yield();
		(void)weft_task_cancel(t);
		T_EQ(finish(t), 0);
		if (r->got == WEFT_ECANCELED && weft_stream_error(r->s, NULL) == 0)
			r->got = weft_stream_read(r->s, r->v, r->max);
		break;
	default:
		r->got = weft_stream_read(r->s, r->v, r->max);
	}
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t got[MOST];

static void compare(weft_stream *s, size_t n, ssize_t end)
{
	weft_stream_err e;

	if (m.any_order) {
		qsort(got, n, sizeof got[0], by_value);
		qsort(m.v, m.n, sizeof m.v[0], by_value);
	}
	if (m.some) { /* each of them is one of those that there are */
		size_t k = 0;

		for (size_t i = 0; i < n; i++, k++) {
			while (k < m.n && m.v[k] < got[i])
				k++;
			if (k == m.n || m.v[k] != got[i])
				wrong("an element that there is not", got[i], k < m.n ? m.v[k] : -1);
		}
	}
	for (size_t i = 0; i < n && i < m.n && !m.some; i++)
		if (got[i] != m.v[i])
			wrong("an element", got[i], m.v[i]);
	if (n != m.n && !m.some)
		wrong("how many", (long long)n, (long long)m.n);
	if (end != m.err)
		wrong("the end", end, m.err);
	if (weft_stream_error(s, &e) != m.err || strcmp(e.stage, m.err ? m.where : "") != 0)
		T_FAIL("seed %llu:%s: the error is of %s in place of %s", (unsigned long long)seed, story, e.stage, m.where);
}

static void one_pipeline(void)
{
	struct reading r = {.got = 1};
	struct giving g;
	weft_task *t;
	size_t n = 0, most = rnd(6) ? MOST : rnd(100);

	rooms = 0;
	story[0] = '\0';
	r.s = any_source(&g, &t);
	for (int i = 0, stages = (int)rnd(9); i < stages; i++)
		r.s = any_stage(r.s, i);
	T_EQ(weft_stream_elem(r.s), 8);
	while (n < most) {
		any_read(&r);
		if (r.got <= 0)
			break;
		memcpy(got + n, r.v, (size_t)r.got * sizeof got[0]);
		n += (size_t)r.got;
	}
	if (r.got <= 0) {
		compare(r.s, n, r.got);
	} else if (!m.any_order) { /* left in the middle */
		for (size_t i = 0; i < n; i++)
			if (i >= m.n || got[i] != m.v[i])
				wrong("an element before it was left", got[i], i < m.n ? m.v[i] : -1);
	}
	weft_stream_free(r.s);
	if (t)
		T_EQ(finish(t), 0);
}

static int pipelines_main(void *arg)
{
	const char *many = getenv("WEFT_STREAM_PIPELINES");

	(void)arg;
	for (long i = many ? atol(many) : tap_iters(8000); i > 0; i--) {
		seed = (uint64_t)i * 8 + (uint64_t)tap_workers();
		rng_state = seed * 0x9e3779b97f4a7c15u;
		for (int k = 0; k < 4; k++)
			(void)rnd(2);
		one_pipeline();
	}
	return 0;
}

TEST_WORKERS(random_pipelines)
{
	tap_limit(120);
	run(pipelines_main, NULL);
}

/* --- policies --- */

struct flood {
	weft_stream_tx *w;
	int64_t n;
	int64_t dropped;
};

static int floods(void *arg)
{
	struct flood *f = arg;

	for (int64_t i = 0; i < f->n; i++) {
		int rc = weft_stream_write(f->w, &i);

		T_GE(rc, 0);
		f->dropped += rc;
		if (i % 10 == 0)
			weft_task_yield(); /* ten for one of the reader's */
	}
	(void)weft_stream_close(f->w);
	return 0;
}

static void one_flood(void)
{
	weft_stream_opts o = {.elem = 8, .policy = (enum weft_stream_policy)rnd(4)};
	struct flood f = {.n = rnd(500)};
	int64_t last = -1, count = 0, v[16];
	size_t max = 1 + rnd(30);
	weft_stream *s;
	weft_task *t;
	ssize_t n;

	if (o.policy != WEFT_STREAM_UNBOUNDED)
		o.max = max;
	T_EQ(weft_stream_open(&s, &f.w, &o), 0);
	t = start(floods, &f);
	while ((n = weft_stream_read(s, v, 1 + rnd(16))) > 0) {
		T_OK(o.max == 0 || weft_stream_tx_len(f.w) <= max);
		for (ssize_t i = 0; i < n; i++) {
			T_GT(v[i], last); /* in order, none twice */
			if (o.policy == WEFT_STREAM_BLOCK || o.policy == WEFT_STREAM_UNBOUNDED)
				T_EQ(v[i], last + 1);
			last = v[i];
		}
		count += n;
		weft_task_yield();
	}
	T_EQ(n, 0);
	T_EQ(finish(t), 0);
	T_EQ(count + f.dropped, f.n);
	T_EQ(weft_stream_tx_dropped(f.w), f.dropped);
	weft_stream_tx_free(f.w);
	weft_stream_free(s);
}

static int floods_main(void *arg)
{
	(void)arg;
	for (long i = tap_iters(150); i > 0; i--) {
		rng_state = (uint64_t)i * 0x9e3779b97f4a7c15u + 1;
		one_flood();
	}
	return 0;
}

TEST_WORKERS(random_policies)
{
	tap_limit(120);
	run(floods_main, NULL);
}
