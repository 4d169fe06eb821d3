/* SPDX-License-Identifier: MIT
 *
 * typed.c - uses of typed channels and their ends that must not compile, each with a part of what the compiler says, and below it the same done right: those must (case 0).
 *
 * Compiled as C, without -Werror of any kind: a wrong type is an error, not a warning; and as C++, which has words of its own (behind ||), and g++ and clang++ have
 * different ones for a conversion that is none. What only C++ has: typed.cpp. WEFT_PUT, WEFT_GET and loops: typed_any.c.
 */
/* WORDS CONVERSION: invalid | could not convert | cannot convert | no matching function | discards qualifiers | incompatible pointer types | cannot initialize */
#include "typed.h"

/* CASE 1: an element has at most 65,535 bytes */
#if CASE == 1
struct large {
	char bytes[65536];
};
CHAN_DEFINE(struct large, larges);
#elif CASE == 0
struct large {
	char bytes[65535];
};
CHAN_DEFINE(struct large, larges);
#endif

/* CASE 2: the elements cannot be const or volatile */
#if CASE == 2
CHAN_DEFINE(const int, constants);
#elif CASE == 0
CHAN_DEFINE(const int *, constants);
#endif

/* CASE 3: the elements cannot be const or volatile */
#if CASE == 3
CHAN_DEFINE(volatile int, volatiles);
#elif CASE == 0
CHAN_DEFINE(volatile int *, volatiles);
#endif

/* CASE 4: incomplete type */
#if CASE == 4
CHAN_DEFINE(struct unknown, unknowns);
#elif CASE == 0
struct unknown;
CHAN_DEFINE(struct unknown *, unknowns);
#endif

/* CASE 5: void */
#if CASE == 5
CHAN_DEFINE(void, voids);
#elif CASE == 0
CHAN_DEFINE(void *, voids);
#endif

int test(struct all *c, struct vars *v);

int test(struct all *c, struct vars *v)
{
	(void)c, (void)v;

/* CASE 6: int-conversion || CONVERSION */
#if CASE == 6
	ints_send(c->i, &v->i);
#elif CASE == 0
	ints_send(c->i, v->i);
#endif

/* CASE 7: int-conversion || CONVERSION */
#if CASE == 7
	ints_send(c->i, &v->l);
#elif CASE == 0
	ints_send(c->i, (int)v->l);
#endif

/* CASE 8: int-conversion || CONVERSION */
#if CASE == 8
	longs_send(c->l, v->dp);
#elif CASE == 0
	longs_send(c->l, v->l);
#endif

/* CASE 9: incompatible type || CONVERSION */
#if CASE == 9
	doubles_send(c->d, v->dp);
#elif CASE == 0
	doubles_send(c->d, *v->dp);
#endif

/* CASE 10: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 10
	double_ptrs_send(c->dp, v->ip);
#elif CASE == 0
	double_ptrs_send(c->dp, v->dp);
#endif

/* CASE 11: int-conversion || CONVERSION */
#if CASE == 11
	double_ptrs_send(c->dp, 5);
#elif CASE == 0
	double_ptrs_send(c->dp, 0);
#endif

/* CASE 12: incompatible type || CONVERSION */
#if CASE == 12
	double_ptrs_send(c->dp, v->d);
#elif CASE == 0
	double_ptrs_send(c->dp, &v->d);
#endif

/* CASE 13: incompatible type || CONVERSION */
#if CASE == 13
	points_send(c->p, v->o);
#elif CASE == 0
	points_send(c->p, v->p);
#endif

/* CASE 14: incompatible type || CONVERSION */
#if CASE == 14
	points_send(c->p, &v->p);
#elif CASE == 0
	points_send(c->p, v->p);
#endif

/* CASE 15: incompatible type || CONVERSION */
#if CASE == 15
	points_send(c->p, 5);
#elif CASE == 0
	points_send(c->p, (struct point){5, 5});
#endif

/* CASE 16: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 16
	point_ptrs_send(c->pp, &v->o);
#elif CASE == 0
	point_ptrs_send(c->pp, &v->p);
#endif

/* CASE 17: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 17
	quads_send(c->q, &v->q);
#elif CASE == 0
	quads_send(c->q, v->q);
#endif

/* CASE 18: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 18
	functions_send(c->f, wrong_function);
#elif CASE == 0
	functions_send(c->f, plain);
#endif

/* CASE 19: int-conversion || CONVERSION */
#if CASE == 19
	ints_trysend(c->i, &v->i);
#elif CASE == 0
	ints_trysend(c->i, v->i);
#endif

/* CASE 20: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 20
	double_ptrs_send_until(c->dp, v->ip, NOW);
#elif CASE == 0
	double_ptrs_send_until(c->dp, v->dp, NOW);
#endif

/* CASE 21: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 21
	ints_recv(c->i, &v->l);
#elif CASE == 0
	ints_recv(c->i, &v->i);
#endif

/* CASE 22: int-conversion || CONVERSION */
#if CASE == 22
	ints_recv(c->i, v->i);
#elif CASE == 0
	ints_recv(c->i, &v->i);
#endif

/* CASE 23: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 23
	doubles_recv(c->d, &v->dp);
#elif CASE == 0
	doubles_recv(c->d, v->dp);
#endif

/* CASE 24: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 24
	points_recv(c->p, &v->o);
#elif CASE == 0
	points_recv(c->p, &v->p);
#endif

/* CASE 25: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 25
	quads_recv(c->q, &v->trio);
#elif CASE == 0
	quads_recv(c->q, &v->q);
#endif

/* CASE 26: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 26
	words_recv(c->w, &v->t);
#elif CASE == 0
	words_recv(c->w, &v->w);
#endif

/* CASE 27: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 27
	longs_recv_until(c->l, &v->i, NOW);
#elif CASE == 0
	longs_recv_until(c->l, &v->l, NOW);
#endif

/* CASE 28: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 28
	longs_tryrecv(c->l, &v->i);
#elif CASE == 0
	longs_tryrecv(c->l, &v->l);
#endif

/* CASE 29: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 29
	ints_send(c->l, 1);
#elif CASE == 0
	longs_send(c->l, 1);
#endif

/* CASE 30: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 30
	ints_send(c->u, 1);
#elif CASE == 0
	ints_send(ints_of(c->u), 1);
#endif

/* CASE 31: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 31
	ints_recv(c->u, &v->i);
#elif CASE == 0
	ints_recv(ints_of(c->u), &v->i);
#endif

/* CASE 32: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 32
	ints_send(&v->i, c->i);
#elif CASE == 0
	ints_send(c->i, v->i);
#endif

/* CASE 33: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 33
	chan_recv(c->i, &v->i);
#elif CASE == 0
	chan_recv(ints_chan(c->i), &v->i);
#endif

/* CASE 34: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 34
	chan_send(c->i, &v->i);
#elif CASE == 0
	chan_send(ints_chan(c->i), &v->i);
#endif

/* CASE 35: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 35
	chan_free(c->i);
#elif CASE == 0
	ints_free(c->i);
#endif

/* CASE 36: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 36
	ints_free(c->u);
#elif CASE == 0
	chan_free(c->u);
#endif

/* CASE 37: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 37
	ints_close(c->l);
#elif CASE == 0
	longs_close(c->l);
#endif

/* CASE 38: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 38
	c->i = chan_make(sizeof(int), 1);
#elif CASE == 0
	c->i = ints_make(1);
#endif

/* CASE 39: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 39
	c->u = ints_make(1);
#elif CASE == 0
	c->u = ints_chan(ints_make(1));
#endif

/* CASE 40: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 40
	c->i = longs_make(1);
#elif CASE == 0
	c->l = longs_make(1);
#endif

/* CASE 41: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 41
	ints_of(c->l);
#elif CASE == 0
	ints_of(c->u);
#endif

/* CASE 42: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 42
	ints_chan(c->l);
#elif CASE == 0
	longs_chan(c->l);
#endif

/* CASE 43: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 43
	{
		chan_case k = ints_on_send(c->i, &v->l);
		(void)k;
	}
#elif CASE == 0
	{
		chan_case k = ints_on_send(c->i, &v->i);
		(void)k;
	}
#endif

/* CASE 44: int-conversion || CONVERSION */
#if CASE == 44
	{
		chan_case k = ints_on_send(c->i, v->i);
		(void)k;
	}
#elif CASE == 0
	{
		chan_case k = ints_on_send(c->i, &v->i);
		(void)k;
	}
#endif

/* CASE 45: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 45
	{
		chan_case k = ints_on_recv(c->i, &v->l);
		(void)k;
	}
#elif CASE == 0
	{
		chan_case k = ints_on_recv(c->i, NULL);
		(void)k;
	}
#endif

/* CASE 46: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 46
	{
		chan_case k = ints_on_recv(c->u, &v->i);
		(void)k;
	}
#elif CASE == 0
	{
		chan_case k = CASE_RECV(c->u, &v->i);
		(void)k;
	}
#endif

/* CASE 47: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 47
	{
		chan_case k = CASE_RECV(c->i, &v->i);
		(void)k;
	}
#elif CASE == 0
	{
		chan_case k = CASE_RECV(ints_chan(c->i), &v->i);
		(void)k;
	}
#endif

/* CASE 48: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 48
	ints_open(&c->l, NULL);
#elif CASE == 0
	longs_open(&c->l, NULL);
#endif

/* CASE 49: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 49
	ints_send_many(c->i, &v->l, 1);
#elif CASE == 0
	ints_send_many(c->i, &v->i, 1);
#endif

/* CASE 50: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 50
	longs_send_many_until(c->l, &v->i, 1, NOW);
#elif CASE == 0
	longs_send_many_until(c->l, &v->l, 1, NOW);
#endif

/* CASE 51: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 51
	ints_recv_many(c->i, &v->l, 1);
#elif CASE == 0
	ints_recv_many(c->i, v->trio, 3);
#endif

/* CASE 52: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 52
	quads_recv_many(c->q, &v->trio, 1);
#elif CASE == 0
	quads_recv_many(c->q, &v->q, 1);
#endif

/* CASE 53: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 53
	ints_reserve(c->i, &v->dp);
#elif CASE == 0
	ints_reserve(c->i, &v->ip);
#endif

/* CASE 54: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 54
	points_reserve_until(c->p, &v->p, NOW);
#elif CASE == 0
	points_abort(c->p);
#endif

/* CASE 55: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 55
	ints_peek(c->i, &v->dp);
#elif CASE == 0
	ints_peek(c->i, &v->ip);
#endif

/* CASE 56: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 56
	ints_peek_until(c->i, &v->v, NOW);
#elif CASE == 0
	ints_peek_until(c->i, &v->ip, NOW);
#endif

/* CASE 57: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 57
	ints_tx_send(c->ir, 1);
#elif CASE == 0
	ints_tx_send(c->it, 1);
#endif

/* CASE 58: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 58
	ints_tx_send(c->lt, 1);
#elif CASE == 0
	longs_tx_send(c->lt, 1);
#endif

/* CASE 59: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 59
	ints_tx_send(c->i, 1);
#elif CASE == 0
	ints_send(c->i, 1);
#endif

/* CASE 60: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 60
	ints_send(c->it, 1);
#elif CASE == 0
	ints_send(ints_tx_chan(c->it), 1);
#endif

/* CASE 61: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 61
	ints_tx_send(c->ut, 1);
#elif CASE == 0
	tx_send(c->ut, &v->i);
#endif

/* CASE 62: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 62
	tx_send(c->it, &v->i);
#elif CASE == 0
	tx_send(ints_tx_end(c->it), &v->i);
#endif

/* CASE 63: int-conversion || CONVERSION */
#if CASE == 63
	ints_tx_send(c->it, &v->i);
#elif CASE == 0
	ints_tx_trysend(c->it, v->i);
#endif

/* CASE 64: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 64
	ints_tx_send_many(c->it, &v->l, 1);
#elif CASE == 0
	ints_tx_send_many(c->it, &v->i, 1);
#endif

/* CASE 65: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 65
	ints_tx_reserve(c->it, &v->dp);
#elif CASE == 0
	ints_tx_reserve(c->it, &v->ip);
#endif

/* CASE 66: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 66
	ints_tx_commit(c->ir);
#elif CASE == 0
	ints_tx_commit(c->it);
#endif

/* CASE 67: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 67
	ints_rx_recv(c->it, &v->i);
#elif CASE == 0
	ints_rx_recv(c->ir, &v->i);
#endif

/* CASE 68: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 68
	ints_rx_recv(c->ir, &v->l);
#elif CASE == 0
	ints_rx_tryrecv(c->ir, NULL);
#endif

/* CASE 69: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 69
	ints_rx_recv_many(c->ir, &v->l, 1);
#elif CASE == 0
	ints_rx_recv_many(c->ir, NULL, 1);
#endif

/* CASE 70: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 70
	ints_rx_peek(c->ir, &v->dp);
#elif CASE == 0
	ints_rx_peek(c->ir, &v->ip);
#endif

/* CASE 71: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 71
	ints_rx_release(c->it);
#elif CASE == 0
	ints_rx_release(c->ir);
#endif

/* CASE 72: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 72
	c->it = ints_tx_make(c->l);
#elif CASE == 0
	c->lt = longs_tx_make(c->l);
#endif

/* CASE 73: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 73
	c->it = ints_rx_make(c->i);
#elif CASE == 0
	c->ir = ints_rx_make(c->i);
#endif

/* CASE 74: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 74
	ints_tx_free(c->ir);
#elif CASE == 0
	ints_rx_free(c->ir);
#endif

/* CASE 75: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 75
	c->ir = ints_tx_ref(c->it);
#elif CASE == 0
	c->it = ints_tx_ref(c->it);
#endif

/* CASE 76: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 76
	ints_oneshot(&c->it, &c->lr);
#elif CASE == 0
	ints_oneshot(&c->it, &c->ir);
#endif

/* CASE 77: int-conversion || CONVERSION */
#if CASE == 77
	ints_oneshot_send(c->it, &v->i);
#elif CASE == 0
	ints_oneshot_send(c->it, v->i);
#endif

/* CASE 78: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 78
	{
		chan_case k = ints_tx_on_send(c->it, &v->l);
		(void)k;
	}
#elif CASE == 0
	{
		chan_case k = ints_tx_on_send(c->it, &v->i);
		(void)k;
	}
#endif

/* CASE 79: incompatible pointer type | -Wincompatible || CONVERSION */
#if CASE == 79
	{
		chan_case k = ints_rx_on_recv(c->it, &v->i);
		(void)k;
	}
#elif CASE == 0
	{
		chan_case k = ints_rx_on_recv(c->ir, &v->i);
		(void)k;
	}
#endif
	return 0;
}
