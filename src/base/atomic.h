/* SPDX-License-Identifier: MIT
 *
 * atomic.h - the one place where atomics are spelled: operations with their order in the name.
 *
 * The protocol headers (queue/, core/waitword.h, core/parker.h, base/lock.h ...) are written over these names only, so that
 * the very same text compiles as C11 for the library and as C++ over Relacy for the models (test/model, WEFT_MODEL defined).
 *
 *   ATOMIC(T)            an atomic T
 *   SHARED(T)            a plain T that several threads touch, ordered by an atomic; the models check it for races
 *   shared_get/set       how such a T is read and written
 *
 * Stand-alone fences are used nowhere else than here and in base/asym.h.  TSan does not see them, so under TSan
 * fence_seq_cst() is a read-modify-write of one dummy word.
 */
#ifndef WEFT_BASE_ATOMIC_H
#define WEFT_BASE_ATOMIC_H

#ifdef WEFT_MODEL
/* The model's includer has included <relacy/relacy.hpp> and defines model_weak: true makes the operation `op` on `what` in the function `func`
 * relaxed, or drops the fence.  So a model can weaken any one site of the real headers without a mark in them. */
#include "base/compiler.h"
#undef CACHE_ALIGNED
#define CACHE_ALIGNED /* Relacy's own memory is not aligned so far */

bool model_weak(const char *func, const char *op, const char *what);

#define MODEL_IS_WEAK(op, what)                                           \
	({                                                                \
		static const bool weak_ = model_weak(__func__, op, what); \
		weak_;                                                    \
	})
#define MODEL_ORDER(op, p, mo) (MODEL_IS_WEAK(op, p) ? rl::mo_relaxed : (mo))
#define MODEL_CAS(op, name, p, expected, v, mo) \
	((p)->compare_exchange_strong(*(expected), (v), MODEL_ORDER(op, name, mo), $, rl::mo_relaxed, $))

#define ATOMIC(T) rl::atomic<T>
#define SHARED(T) rl::var<T>
#define shared_get(p) ((*(p))($).load())
#define shared_set(p, v) ((*(p))($).store(v))
#define load_relaxed(p) ((p)->load(rl::mo_relaxed, $))
#define load_acquire(p) ((p)->load(MODEL_ORDER("load_acquire", #p, rl::mo_acquire), $))
#define load_seq_cst(p) ((p)->load(MODEL_ORDER("load_seq_cst", #p, rl::mo_seq_cst), $))
#define store_relaxed(p, v) ((p)->store((v), rl::mo_relaxed, $))
#define store_release(p, v) ((p)->store((v), MODEL_ORDER("store_release", #p, rl::mo_release), $))
#define store_seq_cst(p, v) ((p)->store((v), MODEL_ORDER("store_seq_cst", #p, rl::mo_seq_cst), $))
#define swap_acquire(p, v) ((p)->exchange((v), MODEL_ORDER("swap_acquire", #p, rl::mo_acquire), $))
#define swap_release(p, v) ((p)->exchange((v), MODEL_ORDER("swap_release", #p, rl::mo_release), $))
#define swap_acq_rel(p, v) ((p)->exchange((v), MODEL_ORDER("swap_acq_rel", #p, rl::mo_acq_rel), $))
#define swap_seq_cst(p, v) ((p)->exchange((v), MODEL_ORDER("swap_seq_cst", #p, rl::mo_seq_cst), $))
#define add_relaxed(p, v) ((p)->fetch_add((v), rl::mo_relaxed, $))
#define add_acq_rel(p, v) ((p)->fetch_add((v), MODEL_ORDER("add_acq_rel", #p, rl::mo_acq_rel), $))
#define add_seq_cst(p, v) ((p)->fetch_add((v), MODEL_ORDER("add_seq_cst", #p, rl::mo_seq_cst), $))
#define cas_acquire(p, expected, v) MODEL_CAS("cas_acquire", #p, p, expected, v, rl::mo_acquire)
#define cas_release(p, expected, v) MODEL_CAS("cas_release", #p, p, expected, v, rl::mo_release)
#define cas_acq_rel(p, expected, v) MODEL_CAS("cas_acq_rel", #p, p, expected, v, rl::mo_acq_rel)
#define cas_seq_cst(p, expected, v) MODEL_CAS("cas_seq_cst", #p, p, expected, v, rl::mo_seq_cst)
#define fence_seq_cst() (MODEL_IS_WEAK("fence", "") ? (void)0 : rl::atomic_thread_fence(rl::mo_seq_cst, $))

#else
#include "base/compiler.h"
#include <stdatomic.h>
#include <stdbool.h>

#define ATOMIC(T) _Atomic(T)
#define SHARED(T) T
#define shared_get(p) (*(p))
#define shared_set(p, v) ((void)(*(p) = (v)))
#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define load_seq_cst(p) atomic_load_explicit((p), memory_order_seq_cst)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define store_seq_cst(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)
#define swap_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define swap_release(p, v) atomic_exchange_explicit((p), (v), memory_order_release)
#define swap_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define swap_seq_cst(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)
#define add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define add_seq_cst(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define cas_relaxed(p, expected, v) \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_relaxed, memory_order_relaxed)
#define cas_acquire(p, expected, v) \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acquire, memory_order_relaxed)
#define cas_release(p, expected, v) \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_release, memory_order_relaxed)
#define cas_acq_rel(p, expected, v) \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel, memory_order_relaxed)
#define cas_seq_cst(p, expected, v) \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_seq_cst, memory_order_relaxed)

#if BUILT_WITH_TSAN
extern HIDDEN ATOMIC(int) weft__fence_word;
#define fence_seq_cst() ((void)add_seq_cst(&weft__fence_word, 0))
#else
#define fence_seq_cst() atomic_thread_fence(memory_order_seq_cst)
#endif
#endif /* WEFT_MODEL */

#endif
