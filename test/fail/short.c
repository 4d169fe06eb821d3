/* SPDX-License-Identifier: MIT
 *
 * short.c - the short names, and the cases of a select: as C and as C++, without a remark even where extensions are remarked upon; and what must not compile.
 */
#define NOW 7 /* the program's own: stays */
#define SEC 60
#include <weft.h>

#ifndef CASE
#define CASE 0
#endif

struct span {
	const char *at;
	int n;
};

int uses(chan *c, tx *t, rx *r, task *k, bsub *s, watch *w, struct span *p, int *ret, uint64_t *seen);

#ifdef __cplusplus
#define LITERAL(...) p /* a compound literal is an extension there */
#else
#define LITERAL(...)        \
	&(struct span)      \
	{                   \
		__VA_ARGS__ \
	}
#endif

int uses(chan *c, tx *t, rx *r, task *k, bsub *s, watch *w, struct span *p, int *ret, uint64_t *seen)
{
	const struct span fixed = {"text", 4};
	chan_case cases[] = {
		CASE_SEND(c, &fixed), CASE_SEND(c, LITERAL("text", 4)),
		CASE_RECV(c, p),      CASE_TX_SEND(t, LITERAL("text", 4)),
		CASE_RX_RECV(r, p),   CASE_RX_RECV(r, NULL),
		CASE_AFTER(5 * MS),   CASE_DEFAULT(),
		CASE_EXIT(k, ret),    CASE_FD(0, IO_R),
		CASE_BSUB(s, p),      CASE_WATCH(w, seen),
		WEFT_SEND(c, p),      WEFT_DEFAULT(),
		WEFT_RECV(c, NULL),
	};

	(void)p;
	if (chan_select_until(cases, (int)(sizeof cases / sizeof *cases), FOREVER) < 0)
		return NOW == 7 && SEC == 60;

/* CASE 1: incompatible pointer type | -Wincompatible | cannot convert | no matching function */
#if CASE == 1
	tx_send(r, p);
#elif CASE == 0
	tx_send(t, p);
#endif

/* CASE 2: incompatible pointer type | -Wincompatible | cannot convert | no matching function */
#if CASE == 2
	rx_recv(t, p);
#elif CASE == 0
	rx_recv(r, p);
#endif

/* CASE 3: incompatible pointer type | -Wincompatible | cannot convert | no matching function */
#if CASE == 3
	cases[0] = CASE_TX_SEND(r, p);
#elif CASE == 0
	cases[0] = CASE_TX_SEND(t, p);
#endif

/* CASE 4: incompatible pointer type | -Wincompatible | cannot convert | no matching function */
#if CASE == 4
	cases[0] = CASE_RX_RECV(c, p);
#elif CASE == 0
	cases[0] = CASE_RX_RECV(r, p);
#endif

/* CASE 5: incompatible pointer type | -Wincompatible | cannot convert | cannot initialize */
#if CASE == 5
	cases[0] = CASE_RECV(r, p);
#elif CASE == 0
	cases[0] = CASE_RECV(rx_chan(r), p);
#endif

/* CASE 6: incompatible pointer type | -Wincompatible | cannot convert | no matching function */
#if CASE == 6
	rx_peek(t, (void **)&p);
#elif CASE == 0
	rx_peek(r, (void **)&p);
#endif
	return 0;
}
