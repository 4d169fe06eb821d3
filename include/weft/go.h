/* SPDX-License-Identifier: MIT
 *
 * weft/go.h - weft_go(fn, args...): start a function with its own arguments as a task.
 *
 *     static void serve(struct conn *c, int port, double timeout);
 *
 *     rc = weft_go(serve, c, 80, 1.5);        short name: go
 *
 * The compiler checks and converts the arguments as in the call fn(args...): a wrong count or type does not compile.  fn is a
 * function or a pointer to one; fn and the arguments are evaluated once, by the caller.  What fn returns is dropped.  weft_go
 * is a macro: a compound literal with commas needs parentheses, ((struct span){p, n}); a pointer to one points nowhere behind the call.
 *
 * What may be passed: up to 6 integers, enumerations, pointers and floating-point numbers of at most 8 bytes, and structs and
 * unions of at most 16 bytes whose size is at most twice their alignment; one of more than 4 bytes counts as two arguments.
 * Refused: variadic functions; long double, __int128, _Complex and vector types; functions that return any of what may not
 * be passed.  Pass a pointer, or start a function of your own that calls the other one.
 *
 * How: the call is compiled as fn(args...), but goes to an assembler function of weft's.  It finds the arguments in registers,
 * where the ABI puts them, and a struct weft__go_call through the static chain register; it keeps the argument registers for
 * the new task, which loads them before it calls fn.
 *
 * Limits, where the compiler tells a macro too little.  A parameter of a refused type is noticed if the argument is of that type
 * too, or if all other arguments have exactly their parameters' types; f(long double, long) started with (1, 2) is not
 * noticed, and gets a wrong first argument.  Nor is a struct of four floats whose alignment was raised to 8, or a struct that
 * holds a packed one with members off their alignment.  clang cannot be asked whether a function has __attribute__((noreturn)):
 * give such a function arguments of exactly its parameters' types (gcc refuses others; _Noreturn is fine).
 *
 * Not for C++, which has no such call: use weft_go_opts there.
 */
#ifndef WEFT_GO_H
#define WEFT_GO_H

#include "error.h"
#include "export.h"

/* Where a task was started.  Static. */
struct weft_site {
	const char *fn; /* the function, as written */
	const char *file;
	int line;
};

/* A pointer to one of this place. The expression around it is none of its own scope: a compound literal among the arguments lives as long as it would without. */
#define WEFT__SITE(text)                                                               \
	(__extension__({                                                               \
		static const struct weft_site weft__here = {text, __FILE__, __LINE__}; \
		&weft__here;                                                           \
	}))

#ifndef __cplusplus
/* clang-format would take _Pragma and statement expressions apart. */
/* clang-format off */

/* One weft_go, on its caller's stack.  rc comes first: the assembler writes it. */
struct weft__go_call {
	int rc;                       /* what weft_go returns */
	int fp;                       /* floating-point argument registers were kept too */
	void (*fn)(void);             /* the function to run */
	const struct weft_site *site; /* where this is written */
};

/* Where the compiled call goes; read by index, because a call through the linker's table of a lazily bound program may lose
 * the static chain register.  [0] keeps integer registers, [1] floating-point ones too; aarch64: [2] and [3] the same with
 * the chain in x15, which clang 21 took instead of x18. */
extern WEFT_API void (*const weft__go_catch[4])(void);
#if defined(__aarch64__) && defined(__clang__) && __clang_major__ >= 21
#define WEFT__GO_CHAIN 2
#else
#define WEFT__GO_CHAIN 0
#endif

/* Facts of a type, as constants.  Kinds are gcc's type classes: 1 to 5 integers, characters, enumerations, booleans,
 * pointers; 8 floating-point; 9 complex; 12 and 13 struct and union. */
#define WEFT__KIND(T) __builtin_classify_type(*(T *)0)
#define WEFT__IS_INT(T) (WEFT__KIND(T) >= 1 && WEFT__KIND(T) <= 5)
#define WEFT__IS_STRUCT(T) (WEFT__KIND(T) == 12 || WEFT__KIND(T) == 13)
#define WEFT__FITS(T)                                                                             \
	(WEFT__IS_STRUCT(T) ? sizeof(T) <= 16 && _Alignof(T) <= 8 && sizeof(T) <= 2 * _Alignof(T) \
			    : (WEFT__IS_INT(T) || WEFT__KIND(T) == 8) && sizeof(T) <= 8)
/* Of an argument: 0, it may be passed in a floating-point register; 1, it is in none if the parameter is of its type; 3, it is in none at all: nothing converts a pointer to a floating-point parameter. */
#define WEFT__INTS(T) (WEFT__KIND(T) == 5 ? 3 : WEFT__IS_INT(T) ? 1 : 0)
#define WEFT__REGS(T) (WEFT__IS_STRUCT(T) && sizeof(T) > 4 ? 2 : 1)
#define WEFT__SAME(F, G) __builtin_types_compatible_p(F, G)

/* The refused types that an argument of another arithmetic type would be converted to: is F's parameter one of them? */
#ifdef __SIZEOF_INT128__
#define WEFT__HAS_WIDE_INT(F, P) || WEFT__SAME(F, P(__int128)) || WEFT__SAME(F, P(unsigned __int128))
#else
#define WEFT__HAS_WIDE_INT(F, P)
#endif
#define WEFT__HAS_WIDE(F, P)                                                                                       \
	(WEFT__SAME(F, P(long double)) || WEFT__SAME(F, P(_Complex float)) || WEFT__SAME(F, P(_Complex double)) || \
	 WEFT__SAME(F, P(_Complex long double)) WEFT__HAS_WIDE_INT(F, P))

/* Is fn variadic?  The attribute sentinel holds on variadic functions only.  gcc can be asked whether it does; clang can be
 * made to refuse a call that cannot satisfy it. */
#ifdef __clang__
#define WEFT__GO_CHECK(fn, args)                                                                                      \
	_Pragma("clang diagnostic ignored \"-Wignored-attributes\"") _Pragma("clang diagnostic error \"-Wsentinel\"") \
	__typeof__(&*(fn)) weft_go_of_a_variadic_function __attribute__((sentinel(64), unused));                      \
	typedef __typeof__(weft_go_of_a_variadic_function args) weft_go_checked __attribute__((unused));
#else
#define WEFT__GO_CHECK(fn, args)                                                                             \
	_Pragma("GCC diagnostic ignored \"-Wattributes\"")                                                   \
	typedef __typeof__(*(fn)) weft_go_probe __attribute__((sentinel, unused));                           \
	_Static_assert(!__builtin_has_attribute(weft_go_probe, sentinel), "weft_go of a variadic function"); \
	_Static_assert(weft_go_exact || !__builtin_has_attribute(*(fn), noreturn),                           \
		       "weft_go: a noreturn function needs arguments of exactly its parameters' types");
#endif

/* args and types are parenthesised lists.  Every name declared here may be declared again by a weft_go among the arguments,
 * hence no -Wshadow.  Where the arguments match fn exactly the call goes through its plain type: that sheds attributes that
 * would let the compiler drop the call (const) or what follows it (noreturn). */
#define WEFT__GO(fn, text, args, types, typedefs, fits, regs, ints, wide)                                                       \
	__extension__({                                                                                                         \
		_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wshadow\"")                                   \
		_Pragma("GCC diagnostic error \"-Wint-conversion\"")                                                            \
		_Pragma("GCC diagnostic error \"-Wincompatible-pointer-types\"")                                                \
		_Pragma("GCC diagnostic ignored \"-Wunused-result\"")                                                           \
		typedefs typedef __typeof__((fn)args) weft_go_ret;                                                              \
		typedef __typeof__(*__builtin_choose_expr(WEFT__SAME(weft_go_ret, void), (int *)0, (weft_go_ret *)0))           \
			weft_go_value;                                                                                          \
		typedef __typeof__(*(fn)) weft_go_fn;                                                                           \
		enum {                                                                                                          \
			weft_go_exact = WEFT__SAME(weft_go_fn, weft_go_ret types),                                              \
			weft_go_fp = !((ints) & (weft_go_exact ? 1 : 2)),                                                                \
		};                                                                                                              \
		WEFT__GO_CHECK(fn, args)                                                                                        \
		_Static_assert(fits, "weft_go: an argument of this type cannot be passed; pass a pointer");                     \
		_Static_assert((regs) <= 6, "weft_go: too many arguments for registers; pass a pointer to a struct");           \
		_Static_assert(weft_go_exact || !(wide), "weft_go: a parameter of this type cannot be passed; pass a pointer"); \
		_Static_assert(WEFT__FITS(weft_go_value), "weft_go: a function that returns this type cannot start");           \
		static const struct weft_site weft_go_site = {text, __FILE__, __LINE__};                                        \
		struct weft__go_call weft_go_call = {WEFT_EINVAL, weft_go_fp, (void (*)(void))(fn), &weft_go_site};             \
		(void)__builtin_call_with_static_chain(                                                                         \
			((__typeof__(__builtin_choose_expr(weft_go_exact, (weft_go_ret(*) types)0, (__typeof__(&*(fn)))0)))     \
				 weft__go_catch[WEFT__GO_CHAIN + weft_go_fp]) args, &weft_go_call);                             \
		_Pragma("GCC diagnostic pop")                                                                                   \
		weft_go_call.rc;                                                                                                \
	})

/* The type of an argument as it is passed: arrays and functions decayed, bit-fields as integers. */
#define WEFT__ARG(n, a) typedef __typeof__(({ (a); })) weft_go_t##n;

#define WEFT__T1 weft_go_t1
#define WEFT__T2 WEFT__T1, weft_go_t2
#define WEFT__T3 WEFT__T2, weft_go_t3
#define WEFT__T4 WEFT__T3, weft_go_t4
#define WEFT__T5 WEFT__T4, weft_go_t5
#define WEFT__T6 WEFT__T5, weft_go_t6

#define WEFT__FITS1 WEFT__FITS(weft_go_t1)
#define WEFT__FITS2 WEFT__FITS1 && WEFT__FITS(weft_go_t2)
#define WEFT__FITS3 WEFT__FITS2 && WEFT__FITS(weft_go_t3)
#define WEFT__FITS4 WEFT__FITS3 && WEFT__FITS(weft_go_t4)
#define WEFT__FITS5 WEFT__FITS4 && WEFT__FITS(weft_go_t5)
#define WEFT__FITS6 WEFT__FITS5 && WEFT__FITS(weft_go_t6)

#define WEFT__REGS1 WEFT__REGS(weft_go_t1)
#define WEFT__REGS2 WEFT__REGS1 + WEFT__REGS(weft_go_t2)
#define WEFT__REGS3 WEFT__REGS2 + WEFT__REGS(weft_go_t3)
#define WEFT__REGS4 WEFT__REGS3 + WEFT__REGS(weft_go_t4)
#define WEFT__REGS5 WEFT__REGS4 + WEFT__REGS(weft_go_t5)
#define WEFT__REGS6 WEFT__REGS5 + WEFT__REGS(weft_go_t6)

#define WEFT__INTS1 WEFT__INTS(weft_go_t1)
#define WEFT__INTS2 WEFT__INTS1 & WEFT__INTS(weft_go_t2)
#define WEFT__INTS3 WEFT__INTS2 & WEFT__INTS(weft_go_t3)
#define WEFT__INTS4 WEFT__INTS3 & WEFT__INTS(weft_go_t4)
#define WEFT__INTS5 WEFT__INTS4 & WEFT__INTS(weft_go_t5)
#define WEFT__INTS6 WEFT__INTS5 & WEFT__INTS(weft_go_t6)

/* A function type whose i-th of n parameters is W and whose others are the arguments' types. */
#define WEFT__P11(W) weft_go_ret(W)
#define WEFT__P21(W) weft_go_ret(W, weft_go_t2)
#define WEFT__P22(W) weft_go_ret(WEFT__T1, W)
#define WEFT__P31(W) weft_go_ret(W, weft_go_t2, weft_go_t3)
#define WEFT__P32(W) weft_go_ret(WEFT__T1, W, weft_go_t3)
#define WEFT__P33(W) weft_go_ret(WEFT__T2, W)
#define WEFT__P41(W) weft_go_ret(W, weft_go_t2, weft_go_t3, weft_go_t4)
#define WEFT__P42(W) weft_go_ret(WEFT__T1, W, weft_go_t3, weft_go_t4)
#define WEFT__P43(W) weft_go_ret(WEFT__T2, W, weft_go_t4)
#define WEFT__P44(W) weft_go_ret(WEFT__T3, W)
#define WEFT__P51(W) weft_go_ret(W, weft_go_t2, weft_go_t3, weft_go_t4, weft_go_t5)
#define WEFT__P52(W) weft_go_ret(WEFT__T1, W, weft_go_t3, weft_go_t4, weft_go_t5)
#define WEFT__P53(W) weft_go_ret(WEFT__T2, W, weft_go_t4, weft_go_t5)
#define WEFT__P54(W) weft_go_ret(WEFT__T3, W, weft_go_t5)
#define WEFT__P55(W) weft_go_ret(WEFT__T4, W)
#define WEFT__P61(W) weft_go_ret(W, weft_go_t2, weft_go_t3, weft_go_t4, weft_go_t5, weft_go_t6)
#define WEFT__P62(W) weft_go_ret(WEFT__T1, W, weft_go_t3, weft_go_t4, weft_go_t5, weft_go_t6)
#define WEFT__P63(W) weft_go_ret(WEFT__T2, W, weft_go_t4, weft_go_t5, weft_go_t6)
#define WEFT__P64(W) weft_go_ret(WEFT__T3, W, weft_go_t5, weft_go_t6)
#define WEFT__P65(W) weft_go_ret(WEFT__T4, W, weft_go_t6)
#define WEFT__P66(W) weft_go_ret(WEFT__T5, W)

#define WEFT__W(ni) WEFT__HAS_WIDE(weft_go_fn, WEFT__P##ni)
#define WEFT__WIDE1 WEFT__W(11)
#define WEFT__WIDE2 WEFT__W(21) || WEFT__W(22)
#define WEFT__WIDE3 WEFT__W(31) || WEFT__W(32) || WEFT__W(33)
#define WEFT__WIDE4 WEFT__W(41) || WEFT__W(42) || WEFT__W(43) || WEFT__W(44)
#define WEFT__WIDE5 WEFT__W(51) || WEFT__W(52) || WEFT__W(53) || WEFT__W(54) || WEFT__W(55)
#define WEFT__WIDE6 WEFT__W(61) || WEFT__W(62) || WEFT__W(63) || WEFT__W(64) || WEFT__W(65) || WEFT__W(66)

#define WEFT__GO0(f) WEFT__GO(f, #f, (), (void), , 1, 0, 3, 0)
#define WEFT__GO1(f, a) \
	WEFT__GO(f, #f, (a), (WEFT__T1), WEFT__ARG(1, a), WEFT__FITS1, WEFT__REGS1, WEFT__INTS1, WEFT__WIDE1)
#define WEFT__GO2(f, a, b)                                                                                          \
	WEFT__GO(f, #f, (a, b), (WEFT__T2), WEFT__ARG(1, a) WEFT__ARG(2, b), WEFT__FITS2, WEFT__REGS2, WEFT__INTS2, \
		 WEFT__WIDE2)
#define WEFT__GO3(f, a, b, c)                                                                                             \
	WEFT__GO(f, #f, (a, b, c), (WEFT__T3), WEFT__ARG(1, a) WEFT__ARG(2, b) WEFT__ARG(3, c), WEFT__FITS3, WEFT__REGS3, \
		 WEFT__INTS3, WEFT__WIDE3)
#define WEFT__GO4(f, a, b, c, d)                                                                                   \
	WEFT__GO(f, #f, (a, b, c, d), (WEFT__T4), WEFT__ARG(1, a) WEFT__ARG(2, b) WEFT__ARG(3, c) WEFT__ARG(4, d), \
		 WEFT__FITS4, WEFT__REGS4, WEFT__INTS4, WEFT__WIDE4)
#define WEFT__GO5(f, a, b, c, d, e)                                                                                         \
	WEFT__GO(f, #f, (a, b, c, d, e), (WEFT__T5),                                                                        \
		 WEFT__ARG(1, a) WEFT__ARG(2, b) WEFT__ARG(3, c) WEFT__ARG(4, d) WEFT__ARG(5, e), WEFT__FITS5, WEFT__REGS5, \
		 WEFT__INTS5, WEFT__WIDE5)
#define WEFT__GO6(f, a, b, c, d, e, g)                                                                            \
	WEFT__GO(f, #f, (a, b, c, d, e, g), (WEFT__T6),                                                           \
		 WEFT__ARG(1, a) WEFT__ARG(2, b) WEFT__ARG(3, c) WEFT__ARG(4, d) WEFT__ARG(5, e) WEFT__ARG(6, g), \
		 WEFT__FITS6, WEFT__REGS6, WEFT__INTS6, WEFT__WIDE6)
#define WEFT__GO7(f, ...)                                                                                     \
	__extension__({                                                                                       \
		_Static_assert(sizeof #f == 0, "weft_go: more than 6 arguments; pass a pointer to a struct"); \
		0;                                                                                            \
	})

/* Picks WEFT__GO<number of arguments after fn>; 7 stands for more. */
#define WEFT__PICK(f, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, n, ...) WEFT__GO##n
#define WEFT__GO_BY(...) WEFT__PICK(__VA_ARGS__, 7, 7, 7, 7, 7, 7, 7, 7, 7, 6, 5, 4, 3, 2, 1, 0, ~)

/* weft_go(fn, args...) - start fn(args...) as a detached task.
 *
 * Returns 0; WEFT_ENOMEM; WEFT_EAGAIN when the runtime's max_tasks are alive; WEFT_ESRCH when no runtime is up.
 * Blocks: no. Threads: any. Order: what the caller did before is seen by fn.
 */
#define weft_go(...) WEFT__GO_BY(__VA_ARGS__)(__VA_ARGS__)

/* clang-format on */
#endif
#endif
