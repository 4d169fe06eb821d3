/* SPDX-License-Identifier: MIT
 *
 * typed.cpp - uses of typed channels that only C++ has: those that must not compile, each with a part of what the compiler says and, below it, the same done right, and
 * those that are allowed (case 0). What C has as well: typed.c.
 */
/* WORDS CONVERSION: invalid | could not convert | cannot convert | no matching function */
#include <weft.h>

#ifndef CASE
#define CASE 0
#endif

struct point {
	long x, y;
};
struct other {
	long x, y;
};
struct base {
	int b;
};
struct derived : base {
	int d;
};
struct holder {
	holder(const holder &);
	~holder();
};
enum class color { red };

CHAN_DEFINE(int, ints);
CHAN_DEFINE(char *, texts);
CHAN_DEFINE(point, points);
CHAN_DEFINE(base *, base_ptrs);
CHAN_DEFINE(const base *, const_base_ptrs);
CHAN_DEFINE(color, colors);
CHAN_DEFINE(int (*)(void *), functions);

/* CASE 1: elements are copied as bytes, and this class cannot be */
#if CASE == 1
CHAN_DEFINE(holder, holders);
#elif CASE == 0
CHAN_DEFINE(holder *, holders);
#endif

struct all {
	ints *i;
	texts *t;
	points *p;
	base_ptrs *b;
	const_base_ptrs *cb;
	colors *e;
	functions *f;
	chan *u;
};
struct vars {
	int i;
	point p;
	other o;
};

int plain(void *arg);

#if CASE == 0
int allowed(all *c, vars *v);

int allowed(all *c, vars *v)
{
	const point cp = {1, 2};
	derived d = {};
	color red;
	int end;

	chan_put(c->e, color::red), chan_get(c->e, &red);
	/* pointers to a base */
	chan_put(c->b, &d), chan_put(c->cb, &d), base_ptrs_send(c->b, &d), const_base_ptrs_send(c->cb, &d);
	chan_put(c->t, nullptr), chan_put(c->f, nullptr), chan_put(c->f, plain);
	chan_put(c->p, point{1, 2}), chan_put(c->p, {1, 2}), chan_put(c->p, cp), points_send(c->p, {1, 2});
	chan_get(c->i, nullptr), ints_recv(c->i, nullptr);
	chan_foreach (c->u, point, y, &end)
		v->p = y;
	return end;
}
#endif

int test(all *c, vars *v);

int test(all *c, vars *v)
{
	(void)c, (void)v;

/* CASE 2: CONVERSION */
#if CASE == 2
	{
		derived d;
		other *o = &v->o;
		(void)d;
		chan_put(c->b, o);
	}
#elif CASE == 0
	{
		derived d;
		base *o = &d;
		chan_put(c->b, o);
	}
#endif

/* CASE 3: CONVERSION */
#if CASE == 3
	{
		const derived d = {};
		chan_put(c->b, &d);
	}
#elif CASE == 0
	{
		const derived d = {};
		chan_put(c->cb, &d);
	}
#endif

/* CASE 4: WEFT_GET: this is not the address of a variable of the element type of the channel */
#if CASE == 4
	{
		derived *d;
		chan_get(c->b, &d);
	}
#elif CASE == 0
	{
		base *d;
		chan_get(c->b, &d);
	}
#endif

/* CASE 5: CONVERSION */
#if CASE == 5
	chan_put(c->e, 0);
#elif CASE == 0
	chan_put(c->e, color::red);
#endif

/* CASE 6: CONVERSION */
#if CASE == 6
	colors_send(c->e, 0);
#elif CASE == 0
	colors_send(c->e, color::red);
#endif

/* CASE 7: weft_chan_foreach: the elements of the channel are of another type than the variable */
#if CASE == 7
	chan_foreach (c->b, derived *, x)
		x->d = 1;
#elif CASE == 0
	chan_foreach (c->b, base *, x)
		x->b = 1;
#endif
	return 0;
}
