/* SPDX-License-Identifier: MIT
 *
 * goargs.c - weft/go.h and its assembler: does a started function get exactly what a call would have given it?
 *
 * There is no runtime here: weft__go_start below keeps the arguments, and run_all makes the calls later, when the caller's
 * registers and frame hold something else.
 */
#include "core/goargs.h"

#include "tap.h"
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define go(...) weft_go(__VA_ARGS__)

static struct started {
	void (*fn)(void);
	const struct weft_site *site;
	int fp;
	struct weft__go_args args;
} started[16];
static int nstarted;
static int answer; /* what weft__go_start returns */

int weft__go_start(struct weft__go_call *call, const struct weft__go_args *args)
{
	struct started *s = &started[nstarted++];
	_Alignas(16) volatile char aligned[16] = {0};

	T_LE(nstarted, 16);
	T_EQ((uintptr_t)aligned % 16, 0);
	*s = (struct started){.fn = call->fn, .site = call->site, .fp = call->fp};
	memcpy(s->args.i, args->i, sizeof args->i);
	if (call->fp)
		memcpy(s->args.f, args->f, sizeof args->f);
	else
		memset(s->args.f, 0xa5, sizeof s->args.f);
	return answer;
}

/* Fills the argument registers with something else. */
static NOINLINE double spoil(long a, long b, long c, long d, long e, long f, double g, double h, double i, double j, double k, double l)
{
	compiler_barrier();
	return (double)(a + b + c + d + e + f) + g + h + i + j + k + l;
}

static int ran; /* started functions that have run */

static void run_all(void)
{
	for (int i = 0; i < nstarted; i++) {
		spoil(-1, -2, -3, -4, -5, -6, -1.5, -2.5, -3.5, -4.5, -5.5, -6.5);
		weft__go_call_args(started[i].fn, &started[i].args);
		T_EQ(ran, i + 1);
	}
	nstarted = ran = 0;
}

/* --- counts --- */

static void take0(void)
{
	ran++;
}
static void take1(int a)
{
	ran++;
	T_EQ(a, 1);
}
static void take2(int a, int b)
{
	ran++;
	T_EQ(a * 10 + b, 12);
}
static void take3(int a, int b, int c)
{
	ran++;
	T_EQ(a * 100 + b * 10 + c, 123);
}
static void take4(int a, int b, int c, int d)
{
	ran++;
	T_EQ(a * 1000 + b * 100 + c * 10 + d, 1234);
}
static void take5(int a, int b, int c, int d, int e)
{
	ran++;
	T_EQ(a * 10000 + b * 1000 + c * 100 + d * 10 + e, 12345);
}
static void take6(int a, int b, int c, int d, int e, int f)
{
	ran++;
	T_EQ(a * 100000 + b * 10000 + c * 1000 + d * 100 + e * 10 + f, 123456);
}

/* No argument to six: each lands in its place. */
TEST(none_to_six_arguments)
{
	go(take0);
	go(take1, 1);
	go(take2, 1, 2);
	go(take3, 1, 2, 3);
	go(take4, 1, 2, 3, 4);
	go(take5, 1, 2, 3, 4, 5);
	go(take6, 1, 2, 3, 4, 5, 6);
	for (int i = 0; i < nstarted; i++)
		T_EQ(started[i].fp, 0);
	run_all();
}

static void doubles(double a, double b, double c, double d, double e, double f)
{
	ran++;
	T_OK(a == 1.25 && b == -2.5 && c == 3e300 && d == -0.0 && e == 1e-310 && f == 6);
}

static void floats(float a, float b, float c, float d, float e, float f)
{
	ran++;
	T_OK(a == 1.25f && b == -2.5f && c == 3e30f && d == 4 && e == 5 && f == 6);
}

static void mixed(int a, double b, const char *c, float d, bool e, double f)
{
	ran++;
	T_EQ(a, -7);
	T_OK(b == 0.5);
	T_STR_EQ(c, "text");
	T_OK(d == 1.5f);
	T_EQ(e, 1);
	T_OK(f == 2.25);
}

/* Floating-point and integer arguments keep their order and value, alone and mixed. */
TEST(floating_point_and_mixed)
{
	double three = 3e300;
	float f = 1.5f;

	go(doubles, 1.25, -2.5, three, -0.0, 1e-310, 6.0);
	go(floats, 1.25f, -2.5f, 3e30f, 4.0f, 5.0f, 6.0f);
	go(mixed, -7, 0.5, "text", f, true, 2.25);
	go(mixed, -7L, 0.5f, "text", 1.5, 5, (float)2.25);
	for (int i = 0; i < nstarted; i++)
		T_EQ(started[i].fp, 1);
	run_all();
}

/* Arguments are converted to the parameter's type by the compiler, as in a call. */
TEST(numbers_are_converted)
{
	double three = 2.5;

	go(doubles, 1.25f, -2.5, 3e300, -0.0, 1e-310, 6);
	go(floats, 1.25, -2.5, 3e30, 4, 5L, 6ull);
	go(take2, three / 2, (float)three);
	run_all();
}

/* --- integers of every width --- */

enum colour { RED = -3, GREEN = 40000 };

static void narrow(signed char a, unsigned char b, short c, unsigned short d, bool e, char f)
{
	ran++;
	T_EQ(a, -1);
	T_EQ(b, 255);
	T_EQ(c, -2);
	T_EQ(d, 65534);
	T_EQ(e, 1);
	T_EQ(f, 'x');
	T_EQ((long)a, -1L); /* the caller's or our own extension, whoever the ABI asks for it */
	T_EQ((unsigned long)d, 65534UL);
}

static void wide(int a, unsigned b, long c, unsigned long d, long long e, enum colour f)
{
	ran++;
	T_EQ(a, INT_MIN);
	T_EQ(b, UINT_MAX);
	T_EQ(c, LONG_MIN);
	T_OK(d == ULONG_MAX);
	T_EQ(e, LLONG_MAX);
	T_EQ(f, RED);
	T_EQ((long)a, (long)INT_MIN);
	T_EQ((long)b, 0xffffffffL);
}

/* Each integer type arrives sign- or zero-extended, from arguments of its own type and of others. */
TEST(integers_are_extended)
{
	signed char sc = -1;
	unsigned char uc = 255;
	short s = -2;
	unsigned short us = 65534;
	bool b = true;
	char c = 'x';
	unsigned long all = ULONG_MAX;
	double minus = -2;
	enum colour red = RED;
	struct {
		unsigned u : 8;
		int i : 4;
	} bits = {255, -1};

	go(narrow, sc, uc, s, us, b, c);
	go(narrow, -1, 255, -2, 65534, 1, 'x');
	go(narrow, (long)sc, all, minus, all - 1, 17, c);
	go(narrow, bits.i, bits.u, s, us, b, c);
	go(wide, INT_MIN, UINT_MAX, LONG_MIN, ULONG_MAX, LLONG_MAX, RED);
	go(wide, INT_MIN, -1, LONG_MIN, -1, LLONG_MAX, red);
	run_all();
}

/* --- pointers --- */

static int array[3] = {1, 2, 3}, other[3];
static char word[] = "word";

static void pointers(const int *a, char *b, void (*f)(void), void *nothing, const char *literal, char *const *vec)
{
	ran++;
	T_EQ(a, array);
	T_EQ(b, word);
	T_EQ((uintptr_t)f, (uintptr_t)take0);
	T_EQ(nothing, NULL);
	T_STR_EQ(literal, "literal");
	T_EQ(vec[0], word);
}

static void restricted(int *restrict a, volatile int *b, const void *const c, int d[static 3])
{
	ran++;
	T_EQ(a, array);
	T_EQ(b, other);
	T_EQ(c, other);
	T_EQ(d, other);
}

/* Arrays and functions decay, null pointers and qualifiers convert. */
TEST(pointers_arrays_and_functions)
{
	static char *vec[] = {word};

	go(pointers, array, word, take0, NULL, "literal", vec);
	go(pointers, &array[0], &word[0], &take0, 0, "literal", &vec[0]);
	go(restricted, &array[0], other, other, other);
	run_all();
}

/* --- structs and unions --- */

struct span {
	char *ptr;
	long len;
};
struct vec2 {
	float x, y;
};
struct complexd {
	double re, im;
};
struct tagged {
	int kind;
	double value;
};
struct small {
	short a;
};
struct pair {
	int a, b;
};
union number {
	double d;
	long l;
	char *p;
};

static void structs(struct span s, struct tagged t, struct small m)
{
	ran++;
	T_EQ(s.ptr, word);
	T_EQ(s.len, 4);
	T_EQ(t.kind, 9);
	T_OK(t.value == 9.5);
	T_EQ(m.a, -5);
}

static void vectors(struct vec2 v, struct complexd c, struct pair p)
{
	ran++;
	T_OK(v.x == 1.5f && v.y == -2.5f);
	T_OK(c.re == 3.25 && c.im == -4.25);
	T_EQ(p.a, -1);
	T_EQ(p.b, 2);
}

static void unions(union number n, union number m, double d, int i)
{
	ran++;
	T_OK(n.d == 2.5);
	T_EQ(m.p, word);
	T_OK(d == 7.5);
	T_EQ(i, 3);
}

static void around(int a, struct complexd c, int b, double d)
{
	ran++;
	T_EQ(a, 1);
	T_OK(c.re == 1.5 && c.im == 2.5);
	T_EQ(b, 2);
	T_OK(d == 3.5);
}

/* Structs and unions of up to 16 bytes arrive whole, between other arguments too. */
TEST(small_structs)
{
	struct span s = {word, 4};

	go(structs, s, ((struct tagged){9, 9.5}), ((struct small){-5}));
	go(vectors, ((struct vec2){1.5f, -2.5f}), ((struct complexd){3.25, -4.25}), ((struct pair){-1, 2}));
	go(unions, ((union number){.d = 2.5}), ((union number){.p = word}), 7.5, 3);
	go(around, 1, ((struct complexd){1.5, 2.5}), 2, 3.5);
	run_all();
}

/* --- evaluation --- */

static int calls;

static int next(void)
{
	return ++calls;
}

static void (*choose(void (*f)(int, int)))(int, int)
{
	calls += 100;
	return f;
}

/* Arguments and function are evaluated once each, by the caller, before the task runs. */
TEST(evaluated_once)
{
	int i = 1, *p = array;

	go(take2, i++, next() + 1);
	T_EQ(i, 2);
	T_EQ(calls, 1);
	go(choose(take2), 1, i++);
	T_EQ(i, 3);
	T_EQ(calls, 101);
	go(take1, *p++);
	T_EQ(p, array + 1);
	run_all();
}

/* fn may be a pointer, a parenthesised name, a dereferenced pointer or an element of a table. */
TEST(any_expression_of_function_type)
{
	void (*const table[])(int, int) = {take2, take2};
	void (*fp)(int) = take1;

	go(fp, 1);
	go(*fp, 1);
	go(&take1, 1);
	go((take1), 1);
	go(table[1], 1, 2);
	go(ran ? take1 : fp, 1);
	run_all();
}

/* A go among the arguments of a go starts first, and its result is the argument. */
TEST(nested)
{
	answer = 1;
	T_EQ(go(take1, go(take1, go(take1, go(take0)))), 1);
	T_EQ(nstarted, 4);
	T_EQ((uintptr_t)started[0].fn, (uintptr_t)take0);
	run_all();
}

/* go yields what weft__go_start returns, in any expression. */
TEST(yields_the_result)
{
	int n = 0;

	answer = 0;
	T_EQ(go(take0), 0);
	answer = WEFT_EAGAIN;
	T_EQ(go(take1, 1), WEFT_EAGAIN);
	if (go(take2, 1, 2) != WEFT_EAGAIN)
		T_FAIL("go in a condition");
	while (go(take0) == WEFT_EAGAIN && n < 3)
		n++;
	T_EQ(n, 3);
	n = go(take0) ? go(take0) : 1;
	T_EQ(n, WEFT_EAGAIN);
	run_all();
}

/* --- return types and attributes --- */

static int ret_int(int a)
{
	take1(a);
	return a;
}
static double ret_double(double a)
{
	ran++;
	T_OK(a == 1.5);
	return a;
}
static struct span ret_struct(struct span s)
{
	ran++;
	T_EQ(s.len, 5);
	return s;
}
static bool ret_bool(void)
{
	ran++;
	return true;
}
__attribute__((warn_unused_result)) static int must_use(int a)
{
	take1(a);
	return a;
}
__attribute__((const)) static int constant(int a)
{
	take1(a);
	return a;
}

/* Whatever fn returns is dropped, also where its type warns about that. */
TEST(return_values_are_dropped)
{
	go(ret_int, 1);
	go(ret_double, 1.5);
	go(ret_struct, ((struct span){word, 5}));
	go(ret_bool);
	go(must_use, 1);
	go(must_use, 1L);
	go(constant, 1);
	run_all();
}

static _Noreturn void never(int a);
static _Noreturn void never(int a)
{
	take1(a);
	tap_skip("unreachable");
}

static __attribute__((noreturn)) void never_either(int a)
{
	take1(a);
	tap_skip("unreachable");
}

/* go comes back from starting a function that does not. */
TEST(noreturn_functions)
{
	answer = 5;
	T_EQ(go(never, 1), 5);
	T_EQ(go(never_either, 1), 5);
	T_EQ(nstarted, 2);
}

/* --- the call site --- */

/* Each go has a static record of what it starts and where it is written. */
TEST(site_names_function_file_and_line)
{
	int line = __LINE__ + 1;
	go(take1, 1);
	T_STR_EQ(started[0].site->fn, "take1");
	T_STR_HAS(started[0].site->file, "goargs.c");
	T_EQ(started[0].site->line, line);
	T_EQ((uintptr_t)started[0].fn, (uintptr_t)take1);
	for (int i = 0; i < 2; i++)
		go(take0);
	T_EQ(started[1].site, started[2].site);
	T_NE(started[0].site, started[1].site);
	run_all();
}

/* Integer-only starts skip the floating-point registers exactly when no parameter can be in one. */
TEST(floating_point_is_kept_when_needed)
{
	go(take1, 1);
	T_EQ(started[0].fp, 0);
	go(ret_double, 1.5);
	T_EQ(started[1].fp, 1);
	go(doubles, 1.25f, -2.5, 3e300, -0.0, 1e-310, 6);
	T_EQ(started[2].fp, 1);
	go(structs, ((struct span){word, 4}), ((struct tagged){9, 9.5}), ((struct small){-5}));
	T_EQ(started[3].fp, 1);
	run_all();
}

/* A task's function gets an aligned stack from weft__go_call_args. */
static void aligned_locals(int a)
{
	_Alignas(16) volatile char local[16] = {0};

	take1(a);
	T_EQ((uintptr_t)local % 16, 0);
	T_EQ((uintptr_t)__builtin_frame_address(0) % 16, 0);
}

TEST(called_with_an_aligned_stack)
{
	go(aligned_locals, 1);
	run_all();
}
