/* SPDX-License-Identifier: MIT
 *
 * go.c - uses of weft_go that must not compile, each announced by a part of what the compiler says. Case 0 must compile.
 *
 * Compiled with -Werror=incompatible-pointer-types,int-conversion, which C compilers before gcc 14 and clang 16 only warn about.
 */
#include <weft/go.h>

#define go(...) weft_go(__VA_ARGS__)

struct point {
	long x, y;
};
struct big {
	long a, b, c;
};
struct over {
	_Alignas(16) long a;
};
struct __attribute__((packed)) packed {
	char a;
	double b;
};

void none(void);
void one(int a);
void two(const char *s, long n);
void ptr(struct point *p);
void dbl(double d);
void str(struct point p, int n);
void six(int a, int b, int c, int d, int e, int f);
void seven(int a, int b, int c, int d, int e, int f, int g);
void structs(struct point a, struct point b, struct point c, int d);
void wide(long double d);
void wide_second(int a, long double d, char *p);
void cplx(_Complex double c);
void big_arg(struct big b);
void over_arg(struct over o);
void packed_arg(struct packed p);
int printf_like(const char *fmt, ...);
struct big big_ret(int a);
long double wide_ret(int a);
int not_a_function;

int test(struct point *p, int *ip, struct point pt, struct big b, struct over o, struct packed k);

int test(struct point *p, int *ip, struct point pt, struct big b, struct over o, struct packed k)
{
	(void)p, (void)ip, (void)pt, (void)b, (void)o, (void)k;
#ifndef CASE
#define CASE 0
#endif

#if CASE == 0
	return go(none) + go(one, 1) + go(two, "s", 1) + go(ptr, p) + go(dbl, 1) + go(str, pt, 1) + go(six, 1, 2, 3, 4, 5, 6);
#endif

/* CASE 1: too few arguments */
#if CASE == 1
	return go(two, "s");
#endif

/* CASE 2: too few arguments */
#if CASE == 2
	return go(one);
#endif

/* CASE 3: too many arguments */
#if CASE == 3
	return go(two, "s", 1, 2);
#endif

/* CASE 4: too many arguments */
#if CASE == 4
	return go(none, 1);
#endif

/* CASE 5: incompatible pointer type */
#if CASE == 5
	return go(ptr, ip);
#endif

/* CASE 6: int-conversion */
#if CASE == 6
	return go(ptr, 42);
#endif

/* CASE 7: int-conversion */
#if CASE == 7
	return go(one, p);
#endif

/* CASE 8: incompatible type */
#if CASE == 8
	return go(str, 1, 2);
#endif

/* CASE 9: more than 6 arguments */
#if CASE == 9
	return go(seven, 1, 2, 3, 4, 5, 6, 7);
#endif

/* CASE 10: too many arguments for registers */
#if CASE == 10
	return go(structs, pt, pt, pt, 1);
#endif

/* CASE 11: a parameter of this type cannot be passed */
#if CASE == 11
	return go(wide, 1);
#endif

/* CASE 12: an argument of this type cannot be passed */
#if CASE == 12
	return go(wide, 1.0L);
#endif

/* CASE 13: a parameter of this type cannot be passed */
#if CASE == 13
	char *text = "text";

	return go(wide_second, 1, 2.0, text);
#endif

/* CASE 14: an argument of this type cannot be passed */
#if CASE == 14
	_Complex double c = 1;

	return go(cplx, c);
#endif

/* CASE 15: a parameter of this type cannot be passed */
#if CASE == 15
	return go(cplx, 1.0);
#endif

/* CASE 16: an argument of this type cannot be passed */
#if CASE == 16
	__int128 i = 1;

	return go(one, i);
#endif

/* CASE 17: variadic */
#if CASE == 17
	return go(printf_like, "s");
#endif

/* CASE 18: variadic */
#if CASE == 18
	return go(printf_like, "%d %p", 1, (void *)0);
#endif

/* CASE 19: an argument of this type cannot be passed */
#if CASE == 19
	return go(big_arg, b);
#endif

/* CASE 20: an argument of this type cannot be passed */
#if CASE == 20
	return go(over_arg, o);
#endif

/* CASE 21: an argument of this type cannot be passed */
#if CASE == 21
	return go(packed_arg, k);
#endif

/* CASE 22: a function that returns this type cannot start */
#if CASE == 22
	return go(big_ret, 1);
#endif

/* CASE 23: a function that returns this type cannot start */
#if CASE == 23
	return go(wide_ret, 1);
#endif

/* CASE 24: not a function */
#if CASE == 24
	return go(not_a_function, 1);
#endif

/* CASE 25: undeclared */
#if CASE == 25
	return go(no_such_function, 1);
#endif
}
