/* SPDX-License-Identifier: MIT
 *
 * typed.h - channels of all sorts, and variables, for what must not compile with them.
 */
#ifndef WEFT_TEST_FAIL_TYPED_H
#define WEFT_TEST_FAIL_TYPED_H

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
typedef int quad[4];

CHAN_DEFINE(int, ints);
CHAN_DEFINE(long, longs);
CHAN_DEFINE(double, doubles);
CHAN_DEFINE(double *, double_ptrs);
CHAN_DEFINE(char *, texts);
CHAN_DEFINE(const char *, words);
CHAN_DEFINE(void *, things);
CHAN_DEFINE(struct point, points);
CHAN_DEFINE(struct point *, point_ptrs);
CHAN_DEFINE(quad, quads);
CHAN_DEFINE(int (*)(void *), functions);

struct all {
	ints *i;
	longs *l;
	doubles *d;
	double_ptrs *dp;
	texts *t;
	words *w;
	things *v;
	points *p;
	point_ptrs *pp;
	quads *q;
	functions *f;
	chan *u;
	ints_tx *it;
	ints_rx *ir;
	longs_tx *lt;
	longs_rx *lr;
	tx *ut;
	rx *ur;
};
struct vars {
	int i;
	long l;
	double d;
	int *ip;
	double *dp;
	char *t;
	const char *w;
	const double *cdp;
	void *v;
	struct point p;
	struct other o;
	quad q;
	int trio[3];
	int (*f)(void *);
};

int plain(void *arg);
int wrong_function(int arg);

#endif
