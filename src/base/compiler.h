/* SPDX-License-Identifier: MIT
 *
 * compiler.h - attributes and the few compiler facts the rest of the tree leans on.
 *
 * Not here: anything with a side effect, anything that differs between CPUs (src/arch).
 */
#ifndef WEFT_BASE_COMPILER_H
#define WEFT_BASE_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define NOINLINE __attribute__((noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NORETURN __attribute__((noreturn))
#define COLD __attribute__((cold, noinline))
#define UNUSED __attribute__((unused))
/* On data of the library: reached without a detour through the global offset table. */
#define HIDDEN __attribute__((visibility("hidden")))
/* After a call: it does not become a jump, so the function that it stands in is seen in dumps. */
#define NO_JUMP() __asm__ volatile("")
/* Behind the declaration of a static function that a public one jumps to, and which has its place on the stack then: dumps show it by the public name. */
#define PART_OF(whole, part) __asm__(#whole "." #part)
/* A function that hands over to what the user has given, with nothing in hand that must be put back: no lock, nothing half done. A task that fails there can be ended where it stands
 * (debug/owncode.c), as a panic ends it. */
#define CALLS_OUT __attribute__((noinline, section("weft_calls_out")))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define CACHELINE 64
#define CACHE_ALIGNED __attribute__((aligned(CACHELINE)))

/* Keeps the compiler, and only the compiler, from moving memory accesses across this point. */
#define compiler_barrier() __asm__ volatile("" ::: "memory")

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define ROUND_UP(n, to) (((n) + (to)-1) / (to) * (to))

#if defined(__x86_64__)
#define cpu_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define cpu_relax() __asm__ volatile("isb" ::: "memory")
#else
#error "weft: this CPU has no src/arch files yet"
#endif

/* Sanitizers the library itself is built with. What the program around a plain library was built with is found at run time
 * (base/sanitizer.h). */
#if defined(__has_feature)
#define WEFT__HAS(x) __has_feature(x)
#else
#define WEFT__HAS(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || WEFT__HAS(thread_sanitizer)
#define BUILT_WITH_TSAN 1
#else
#define BUILT_WITH_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__) || WEFT__HAS(address_sanitizer)
#define BUILT_WITH_ASAN 1
#define NO_ASAN __attribute__((no_sanitize("address")))
#else
#define BUILT_WITH_ASAN 0
#define NO_ASAN
#endif

/* Not instrumented.  clang's no_sanitize("thread") alone would keep the reports of entry and exit. */
#ifdef __clang__
#define UNSEEN __attribute__((disable_sanitizer_instrumentation, no_sanitize("address", "thread", "undefined")))
#else
#define UNSEEN __attribute__((no_sanitize("address", "thread", "undefined")))
#endif

/* One among the symbols of each object file of the library: dumps tell weft's static functions from the program's by it (debug/symbols.c). */
#ifdef WEFT_INSIDE
__asm__(".set weft__inside, 0");
#endif

#endif
