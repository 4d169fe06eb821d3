/* SPDX-License-Identifier: MIT
 *
 * typed_any.c - WEFT_PUT, WEFT_GET and weft_chan_foreach, which take any typed channel or end: what must not compile, each with a part of what the compiler says, and below it
 * the same done right: those must, together with all else that is allowed (case 0). As typed.c.
 */
/* WORDS CONVERSION: invalid | could not convert | cannot convert | no matching function | discards qualifiers | incompatible pointer types | cannot initialize */
#include "typed.h"

#if CASE == 0
int allowed(struct all *c, struct vars *v);

int allowed(struct all *c, struct vars *v)
{
	const struct point cp = {1, 2};
	const quad cq = {1};
	struct {
		unsigned bits : 3;
	} b = {1};
	int end;

	/* numbers convert */
	chan_put(c->i, 5), chan_put(c->i, 'c'), chan_put(c->i, b.bits), chan_put(c->l, 5), chan_put(c->l, v->i), chan_put(c->d, 5);
	ints_send(c->i, 5), longs_send(c->l, 5), longs_send(c->l, v->i), doubles_send(c->d, 1);
	/* pointers that fit do */
#ifndef __cplusplus
	chan_put(c->t, v->v), chan_put(c->t, (char[]){"text"});
#endif
	chan_put(c->t, NULL), chan_put(c->t, 0);
	chan_put(c->w, "text"), chan_put(c->w, v->t), chan_put(c->w, NULL), chan_put(c->v, v->t), chan_put(c->v, &v->p);
	chan_put(c->pp, &v->p), chan_put(c->pp, NULL), chan_put(c->f, plain), chan_put(c->f, &plain), chan_put(c->f, NULL);
	words_send(c->w, "text"), words_send(c->w, v->t), texts_send(c->t, NULL), things_send(c->v, v->t), functions_send(c->f, plain);
	/* structs and arrays, const as well */
	chan_put(c->p, v->p), chan_put(c->p, cp), chan_put(c->p, (struct point){1, 2}), chan_put(c->p, ((struct point){1, 2})),
		chan_put(c->q, v->q), chan_put(c->q, cq);
	points_send(c->p, cp), quads_send(c->q, cq);
	/* one call within another, and dropping what comes */
	chan_put(c->l, chan_put(c->i, chan_get(c->i, &v->i)));
	chan_get(c->i, NULL), ints_recv(c->i, NULL), chan_get(c->q, &v->q), chan_get(c->w, &v->w), chan_get(c->f, &v->f);

	chan_foreach (c->i, int, x) {
		chan_foreach (c->q, quad, y, &end)
			if (x == y[0])
				break;
		chan_foreach (c->u, struct point, y)
			if (x == y.x)
				return end;
	}
	chan_case k[] = {ints_on_recv(c->i, &v->i), points_on_send(c->p, &cp), CASE_RECV(c->u, NULL), CASE_AFTER(1), CASE_DEFAULT()};
	return chan_select(k, 5);
}
#endif

int test(struct all *c, struct vars *v);

int test(struct all *c, struct vars *v)
{
	(void)c, (void)v;

/* CASE 1: WEFT_PUT: the elements of the channel are numbers, and this is none || CONVERSION */
#if CASE == 1
	chan_put(c->i, &v->i);
#elif CASE == 0
	chan_put(c->i, v->i);
#endif

/* CASE 2: WEFT_PUT: the elements of the channel are numbers, and this is none || CONVERSION */
#if CASE == 2
	chan_put(c->i, &v->l);
#elif CASE == 0
	chan_put(c->i, (int)v->l);
#endif

/* CASE 3: WEFT_PUT: the elements of the channel are numbers, and this is none || CONVERSION */
#if CASE == 3
	chan_put(c->d, v->dp);
#elif CASE == 0
	chan_put(c->d, *v->dp);
#endif

/* CASE 4: WEFT_PUT: the elements of the channel are numbers, and this is none || CONVERSION */
#if CASE == 4
	chan_put(c->i, "5");
#elif CASE == 0
	chan_put(c->i, '5');
#endif

/* CASE 5: WEFT_PUT: the elements of the channel are numbers, and this is none || CONVERSION */
#if CASE == 5
	chan_put(c->i, v->p);
#elif CASE == 0
	chan_put(c->i, (int)v->p.x);
#endif

/* CASE 6: WEFT_PUT: the elements of the channel are pointers to another type || CONVERSION */
#if CASE == 6
	chan_put(c->dp, v->ip);
#elif CASE == 0
	chan_put(c->dp, v->dp);
#endif

/* CASE 7: WEFT_PUT: the elements of the channel are pointers, and this is none || CONVERSION */
#if CASE == 7
	chan_put(c->dp, 5);
#elif CASE == 0
	chan_put(c->dp, 0);
#endif

/* CASE 8: WEFT_PUT: the elements of the channel are pointers, and this is none || CONVERSION */
#if CASE == 8
	chan_put(c->dp, v->i);
#elif CASE == 0
	chan_put(c->dp, NULL);
#endif

/* CASE 9: WEFT_PUT: the elements of the channel are pointers, and this is none || CONVERSION */
#if CASE == 9
	chan_put(c->dp, v->d);
#elif CASE == 0
	chan_put(c->dp, &v->d);
#endif

/* CASE 10: WEFT_PUT: the elements of the channel are pointers, and this is none || CONVERSION */
#if CASE == 10
	chan_put(c->pp, v->p);
#elif CASE == 0
	chan_put(c->pp, &v->p);
#endif

/* CASE 11: WEFT_PUT: the elements of the channel are pointers to another type || CONVERSION */
#if CASE == 11
	chan_put(c->pp, &v->o);
#elif CASE == 0
	chan_put(c->pp, &v->p);
#endif

/* CASE 12: WEFT_PUT: the elements of the channel are pointers to another type || CONVERSION */
#if CASE == 12
	chan_put(c->t, &v->t);
#elif CASE == 0
	chan_put(c->t, v->t);
#endif

/* CASE 13: WEFT_PUT: the elements of the channel are pointers to another type || CONVERSION */
#if CASE == 13
	chan_put(c->f, wrong_function);
#elif CASE == 0
	chan_put(c->f, plain);
#endif

/* CASE 14: WEFT_PUT: this points to something const or volatile, the elements of the channel do not || CONVERSION */
#if CASE == 14
	chan_put(c->t, v->w);
#elif CASE == 0
	chan_put(c->w, v->w);
#endif

/* CASE 15: WEFT_PUT: this points to something const or volatile, the elements of the channel do not || CONVERSION */
#if CASE == 15
	chan_put(c->dp, v->cdp);
#elif CASE == 0
	chan_put(c->dp, v->dp);
#endif

/* CASE 16: WEFT_PUT: this points to something const or volatile, the elements of the channel do not || CONVERSION */
#if CASE == 16
	chan_put(c->v, v->w);
#elif CASE == 0
	chan_put(c->v, v->t);
#endif

/* CASE 17: WEFT_PUT: the elements of the channel are of another type || CONVERSION */
#if CASE == 17
	chan_put(c->p, v->o);
#elif CASE == 0
	chan_put(c->p, v->p);
#endif

/* CASE 18: WEFT_PUT: the elements of the channel are of another type || CONVERSION */
#if CASE == 18
	chan_put(c->p, &v->p);
#elif CASE == 0
	chan_put(c->p, v->p);
#endif

/* CASE 19: WEFT_PUT: the elements of the channel are of another type || CONVERSION */
#if CASE == 19
	chan_put(c->p, 5);
#elif CASE == 0
	chan_put(c->p, (struct point){5, 5});
#endif

/* CASE 20: WEFT_PUT: the elements of the channel are arrays of another type or length || CONVERSION */
#if CASE == 20
	chan_put(c->q, v->trio);
#elif CASE == 0
	chan_put(c->q, v->q);
#endif

/* CASE 21: WEFT_PUT: the elements of the channel are arrays of another type or length || CONVERSION */
#if CASE == 21
	chan_put(c->q, v->ip);
#elif CASE == 0
	chan_put(c->q, v->q);
#endif

/* CASE 22: WEFT_PUT: the elements of the channel are arrays of another type or length || CONVERSION */
#if CASE == 22
	chan_put(c->q, &v->q);
#elif CASE == 0
	chan_put(c->q, v->q);
#endif

/* CASE 23: WEFT_PUT: this is an untyped channel || this is an untyped channel */
#if CASE == 23
	chan_put(c->u, v->i);
#elif CASE == 0
	chan_put(ints_of(c->u), v->i);
#endif

/* CASE 24: weft_elem || weft_elem | no matching function */
#if CASE == 24
	chan_put(v->p, v->i);
#elif CASE == 0
	chan_put(c->i, v->i);
#endif

/* CASE 25: weft_elem | not a structure or union || weft_elem | no matching function */
#if CASE == 25
	chan_put(v->i, c->i);
#elif CASE == 0
	chan_put(c->i, v->i);
#endif

/* CASE 26: WEFT_GET: this is not the address of a variable of the element type of the channel */
#if CASE == 26
	chan_get(c->i, &v->l);
#elif CASE == 0
	chan_get(c->i, &v->i);
#endif

/* CASE 27: WEFT_GET: this is not the address of a variable of the element type of the channel || CONVERSION */
#if CASE == 27
	chan_get(c->i, v->i);
#elif CASE == 0
	chan_get(c->i, &v->i);
#endif

/* CASE 28: WEFT_GET: this is not the address of a variable of the element type of the channel */
#if CASE == 28
	chan_get(c->d, &v->dp);
#elif CASE == 0
	chan_get(c->d, v->dp);
#endif

/* CASE 29: WEFT_GET: this is not the address of a variable of the element type of the channel */
#if CASE == 29
	chan_get(c->p, &v->o);
#elif CASE == 0
	chan_get(c->p, &v->p);
#endif

/* CASE 30: WEFT_GET: this is not the address of a variable of the element type of the channel */
#if CASE == 30
	chan_get(c->q, v->q);
#elif CASE == 0
	chan_get(c->q, &v->q);
#endif

/* CASE 31: WEFT_GET: this is not the address of a variable of the element type of the channel */
#if CASE == 31
	chan_get(c->q, &v->trio);
#elif CASE == 0
	chan_get(c->q, &v->q);
#endif

/* CASE 32: WEFT_GET: this is not the address of a variable of the element type of the channel */
#if CASE == 32
	chan_get(c->w, &v->t);
#elif CASE == 0
	chan_get(c->w, &v->w);
#endif

/* CASE 33: WEFT_GET: this is not the address of a variable of the element type of the channel */
#if CASE == 33
	chan_get(c->d, v->cdp);
#elif CASE == 0
	chan_get(c->d, v->dp);
#endif

/* CASE 34: WEFT_GET: this is not the address of a variable of the element type of the channel */
#if CASE == 34
	chan_get(c->i, v->v);
#elif CASE == 0
	chan_get(c->i, NULL);
#endif

/* CASE 35: WEFT_GET: this is an untyped channel || this is an untyped channel */
#if CASE == 35
	chan_get(c->u, &v->i);
#elif CASE == 0
	chan_recv(c->u, &v->i);
#endif

/* CASE 36: weft_chan_foreach: the elements of the channel are of another type than the variable */
#if CASE == 36
	chan_foreach (c->i, long, x)
		v->l = x;
#elif CASE == 0
	chan_foreach (c->i, int, x)
		v->l = x;
#endif

/* CASE 37: weft_chan_foreach: the elements of the channel are of another type than the variable */
#if CASE == 37
	chan_foreach (c->l, int, x)
		v->l = x;
#elif CASE == 0
	chan_foreach (c->l, long, x)
		v->l = x;
#endif

/* CASE 38: weft_chan_foreach: the elements of the channel are of another type than the variable */
#if CASE == 38
	chan_foreach (c->p, struct other, x)
		v->o = x;
#elif CASE == 0
	chan_foreach (c->p, struct point, x)
		v->p = x;
#endif

/* CASE 39: weft_chan_foreach: the elements of the channel are of another type than the variable */
#if CASE == 39
	chan_foreach (c->dp, int *, x)
		v->ip = x;
#elif CASE == 0
	chan_foreach (c->dp, double *, x)
		v->dp = x;
#endif

/* CASE 40: weft_chan_foreach: the elements of the channel are of another type than the variable */
#if CASE == 40
	chan_foreach (c->q, int[3], x)
		v->i = x[0];
#elif CASE == 0
	chan_foreach (c->q, int[4], x)
		v->i = x[0];
#endif

/* CASE 41: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 41
	chan_foreach (c->i, int, x, &v->l)
		v->i = x;
#elif CASE == 0
	chan_foreach (c->i, int, x, &v->i)
		v->l = x;
#endif

/* CASE 42: WEFT_PUT: this is a receiving end */
#if CASE == 42
	chan_put(c->ir, 1);
#elif CASE == 0
	chan_put(c->it, 1);
#endif

/* CASE 43: WEFT_PUT: the elements of the channel are numbers, and this is none || CONVERSION */
#if CASE == 43
	chan_put(c->it, &v->i);
#elif CASE == 0
	chan_put(c->it, v->i);
#endif

/* CASE 44: WEFT_PUT: this is an untyped channel || this is an untyped channel */
#if CASE == 44
	chan_put(c->ut, v->i);
#elif CASE == 0
	tx_send(c->ut, &v->i);
#endif

/* CASE 45: WEFT_GET: this is a sending end */
#if CASE == 45
	chan_get(c->it, &v->i);
#elif CASE == 0
	chan_get(c->ir, &v->i);
#endif

/* CASE 46: WEFT_GET: this is not the address of a variable of the element type of the channel */
#if CASE == 46
	chan_get(c->ir, &v->l);
#elif CASE == 0
	chan_get(c->lr, &v->l);
#endif

/* CASE 47: WEFT_GET: this is an untyped channel || this is an untyped channel */
#if CASE == 47
	chan_get(c->ur, &v->i);
#elif CASE == 0
	rx_recv(c->ur, &v->i);
#endif

/* CASE 48: weft_chan_foreach: this is a sending end */
#if CASE == 48
	chan_foreach (c->it, int, x)
		v->i = x;
#elif CASE == 0
	chan_foreach (c->ir, int, x)
		v->i = x;
#endif

/* CASE 49: weft_chan_foreach: this is a sending end */
#if CASE == 49
	chan_foreach (c->ut, int, x)
		v->i = x;
#elif CASE == 0
	chan_foreach (c->ur, int, x)
		v->i = x;
#endif

/* CASE 50: weft_chan_foreach: the elements of the channel are of another type than the variable */
#if CASE == 50
	chan_foreach (c->ir, long, x)
		v->l = x;
#elif CASE == 0
	chan_foreach (c->lr, long, x)
		v->l = x;
#endif
	return 0;
}
