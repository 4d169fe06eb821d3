/* SPDX-License-Identifier: MIT
 *
 * tap.h - the test harness: each test its own process with a time limit, results as TAP.
 *
 *   TEST(name) { ... }                     passes by returning
 *   TEST_WORKERS(name) { ... }             runs three times, with 1, 2 and 8 workers: tap_workers(), WEFT_WORKERS
 *   TEST_DIES(name, "text") { ... }        passes by dying (signal or exit status) with text on standard error
 *   TEST_DIES_WORKERS(name, "text")        both
 *
 * The checks print both values and end the test from wherever they run, any thread and any task's stack: the failure is noted in a page shared
 * with the harness and the process exits (no longjmp, which would leave a foreign stack).  Whatever the test printed is shown only if it failed.
 *
 *   ./prog               all tests              ./prog -l                    their names
 *   ./prog NAME...       some tests             ./prog --in-process NAME     one, without fork or limit, for gdb
 *
 * Environment: WEFT_TEST_SLOW=n multiplies time limits and divides tap_iters (sanitizers and Valgrind are noticed without it, an emulator is not);
 * WEFT_TEST_LIMIT=s sets the default limit of 30 s.  A test that runs out of time gets SIGQUIT, which shows its tasks, and a second later SIGKILL.
 *
 * After a fork that is not followed by exec TSan allows no new threads, so the harness itself never makes a thread.
 */
#ifndef WEFT_TEST_TAP_H
#define WEFT_TEST_TAP_H

#include <stddef.h>

struct tap_test {
	const char *name;
	void (*body)(void);
	const char *dies; /* text its last words must contain, or NULL: must not die */
	int workers;      /* 1, 2, 8; 0: not asked for */
	struct tap_test *next;
};

void tap_register(struct tap_test *t);

#define TAP__ENTRY(id, fn, label, count, text)                                                                       \
	static struct tap_test tap__test_##id = {.name = (label), .body = (fn), .dies = (text), .workers = (count)}; \
	__attribute__((constructor)) static void tap__add_##id(void)                                                 \
	{                                                                                                            \
		tap_register(&tap__test_##id);                                                                       \
	}
#define TAP__THRICE(fn, text)                       \
	TAP__ENTRY(fn##_1, fn, #fn " @1w", 1, text) \
	TAP__ENTRY(fn##_2, fn, #fn " @2w", 2, text) \
	TAP__ENTRY(fn##_8, fn, #fn " @8w", 8, text)

#define TEST_DIES(fn, text)              \
	static void fn(void);            \
	TAP__ENTRY(fn, fn, #fn, 0, text) \
	static void fn(void)
#define TEST_DIES_WORKERS(fn, text) \
	static void fn(void);       \
	TAP__THRICE(fn, text)       \
	static void fn(void)
#define TEST(fn) TEST_DIES(fn, NULL)
#define TEST_WORKERS(fn) TEST_DIES_WORKERS(fn, NULL)

/* Workers this run is for: 1, 2 or 8 under TEST_WORKERS, else 2. */
int tap_workers(void);

/* How much slower than plain this run is: 1, about 10 under sanitizers or an emulator. */
int tap_slow(void);

/* n for a plain run, fewer in a slow one, at least 1. */
long tap_iters(long n);

/* Gives this test `seconds` (times tap_slow()) from its start instead of the default. Call it before the default has passed. */
void tap_limit(int seconds);

/* This test leaves memory behind on purpose (tasks that never run again own it): no leak check at its end. */
void tap_leaky(void);

/* Ends the test as skipped. Any thread, any stack. */
void tap_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* A line that is shown if the test fails. Any thread, any stack. */
void tap_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A line that is shown also if the test passes: what it has found out. The last one counts. One thread. */
void tap_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Ends the test as failed. Any thread, any stack. */
void tap_fail(const char *file, int line, const char *fmt, ...) __attribute__((noreturn, format(printf, 3, 4)));

#define T_FAIL(...) tap_fail(__FILE__, __LINE__, __VA_ARGS__)

#define T_OK(expr)                                                 \
	do {                                                       \
		if (!(expr))                                       \
			tap_fail(__FILE__, __LINE__, "%s", #expr); \
	} while (0)

/* Integers, enumerations and pointers, compared as long long. */
#define TAP__COMPARE(a, op, b, text)                                                                 \
	do {                                                                                         \
		long long tap_a_ = (long long)(a), tap_b_ = (long long)(b);                          \
		if (!(tap_a_ op tap_b_))                                                             \
			tap_fail(__FILE__, __LINE__, "%s: %lld against %lld", text, tap_a_, tap_b_); \
	} while (0)
#define T_EQ(a, b) TAP__COMPARE(a, ==, b, #a " == " #b)
#define T_NE(a, b) TAP__COMPARE(a, !=, b, #a " != " #b)
#define T_LT(a, b) TAP__COMPARE(a, <, b, #a " < " #b)
#define T_LE(a, b) TAP__COMPARE(a, <=, b, #a " <= " #b)
#define T_GT(a, b) TAP__COMPARE(a, >, b, #a " > " #b)
#define T_GE(a, b) TAP__COMPARE(a, >=, b, #a " >= " #b)

#define T_STR_EQ(a, b) tap_str(__FILE__, __LINE__, #a " is " #b, (a), (b), 1)
#define T_STR_HAS(text, part) tap_str(__FILE__, __LINE__, #text " has " #part, (text), (part), 0)
void tap_str(const char *file, int line, const char *what, const char *a, const char *b, int whole);

#endif
