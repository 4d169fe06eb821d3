/* SPDX-License-Identifier: MIT
 *
 * weft/lf/atomic.h - atomic operations with their order in the name, the same in C and C++: what the structures of weft/lf are written over.
 *
 *   WEFT_ATOMIC(T)         an atomic T: _Atomic in C, std::atomic in C++
 *   WEFT_SHARED(T)         a plain T that several threads touch, ordered by an atomic; weft_shared_get, weft_shared_set read and write it
 *   weft_cas_ORDER         compare and swap: *expected is what was found if it fails (relaxed then)
 *   WEFT_LF_ALIGNED        starts a pair of cache lines of its own: processors fetch lines in pairs, so 128 bytes keep two threads apart
 *   weft_cpu_relax()       a hint between two looks of a spinning thread
 *   weft_cpu_settle()      nothing that comes behind it is begun before it, not even on a guess of the processor's
 *
 * A model checker puts its own operations in the place of these by defining all of them, and WEFT_LF_ATOMIC_H, first.
 */
#ifndef WEFT_LF_ATOMIC_H
#define WEFT_LF_ATOMIC_H

#ifdef __cplusplus
#include <atomic>
#define WEFT_ATOMIC(T) std::atomic<T>
#define WEFT_ORDER(o) std::memory_order_##o
#define WEFT_ATOMIC_OP(op) std::atomic_##op##_explicit
#else
#include <stdatomic.h>
#include <stdbool.h>
#define WEFT_ATOMIC(T) _Atomic(T)
#define WEFT_ORDER(o) memory_order_##o
#define WEFT_ATOMIC_OP(op) atomic_##op##_explicit
#endif

#define WEFT_SHARED(T) T
#define weft_shared_get(p) (*(p))
#define weft_shared_set(p, v) ((void)(*(p) = (v)))
#define weft_load_relaxed(p) WEFT_ATOMIC_OP(load)((p), WEFT_ORDER(relaxed))
#define weft_load_acquire(p) WEFT_ATOMIC_OP(load)((p), WEFT_ORDER(acquire))
#define weft_load_seq_cst(p) WEFT_ATOMIC_OP(load)((p), WEFT_ORDER(seq_cst))
#define weft_store_relaxed(p, v) WEFT_ATOMIC_OP(store)((p), (v), WEFT_ORDER(relaxed))
#define weft_store_release(p, v) WEFT_ATOMIC_OP(store)((p), (v), WEFT_ORDER(release))
#define weft_store_seq_cst(p, v) WEFT_ATOMIC_OP(store)((p), (v), WEFT_ORDER(seq_cst))
#define weft_swap_acquire(p, v) WEFT_ATOMIC_OP(exchange)((p), (v), WEFT_ORDER(acquire))
#define weft_swap_release(p, v) WEFT_ATOMIC_OP(exchange)((p), (v), WEFT_ORDER(release))
#define weft_swap_acq_rel(p, v) WEFT_ATOMIC_OP(exchange)((p), (v), WEFT_ORDER(acq_rel))
#define weft_swap_seq_cst(p, v) WEFT_ATOMIC_OP(exchange)((p), (v), WEFT_ORDER(seq_cst))
#define weft_add_relaxed(p, v) WEFT_ATOMIC_OP(fetch_add)((p), (v), WEFT_ORDER(relaxed))
#define weft_add_acq_rel(p, v) WEFT_ATOMIC_OP(fetch_add)((p), (v), WEFT_ORDER(acq_rel))
#define weft_add_seq_cst(p, v) WEFT_ATOMIC_OP(fetch_add)((p), (v), WEFT_ORDER(seq_cst))
#define WEFT_CAS(p, expected, v, order) \
	WEFT_ATOMIC_OP(compare_exchange_strong)((p), (expected), (v), WEFT_ORDER(order), WEFT_ORDER(relaxed))
#define weft_cas_relaxed(p, expected, v) WEFT_CAS(p, expected, v, relaxed)
#define weft_cas_acquire(p, expected, v) WEFT_CAS(p, expected, v, acquire)
#define weft_cas_release(p, expected, v) WEFT_CAS(p, expected, v, release)
#define weft_cas_acq_rel(p, expected, v) WEFT_CAS(p, expected, v, acq_rel)
#define weft_cas_seq_cst(p, expected, v) WEFT_CAS(p, expected, v, seq_cst)

/* ThreadSanitizer does not see stand-alone fences: there, a read-modify-write of one word that all share. */
#if defined(__SANITIZE_THREAD__)
#define WEFT_LF_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEFT_LF_TSAN 1
#endif
#endif
#ifdef WEFT_LF_TSAN
__attribute__((weak, visibility("hidden"))) WEFT_ATOMIC(int) weft__fence_word;
#define weft_fence_seq_cst() ((void)weft_add_seq_cst(&weft__fence_word, 0))
#elif defined(__cplusplus)
#define weft_fence_seq_cst() std::atomic_thread_fence(std::memory_order_seq_cst)
#else
#define weft_fence_seq_cst() atomic_thread_fence(memory_order_seq_cst)
#endif

#define WEFT_LF_ALIGNED __attribute__((aligned(128)))

#if defined(__x86_64__)
#define weft_cpu_relax() __builtin_ia32_pause()
#define weft_cpu_settle() __builtin_ia32_lfence()
#elif defined(__aarch64__)
#define weft_cpu_relax() __asm__ volatile("isb" ::: "memory")
#define weft_cpu_settle() __asm__ volatile("isb" ::: "memory")
#else
#define weft_cpu_relax() ((void)0)
#define weft_cpu_settle() ((void)0)
#endif

#endif
