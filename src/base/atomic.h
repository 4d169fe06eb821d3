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
 * Stand-alone fences are used nowhere else than by these names and in base/asym.h.  The operations themselves are public, with a prefix
 * (weft/lf/atomic.h), for the structures that are.
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
#define cas_relaxed(p, expected, v) ((p)->compare_exchange_strong(*(expected), (v), rl::mo_relaxed, $, rl::mo_relaxed, $))
#define cas_acquire(p, expected, v) MODEL_CAS("cas_acquire", #p, p, expected, v, rl::mo_acquire)
#define cas_release(p, expected, v) MODEL_CAS("cas_release", #p, p, expected, v, rl::mo_release)
#define cas_acq_rel(p, expected, v) MODEL_CAS("cas_acq_rel", #p, p, expected, v, rl::mo_acq_rel)
#define cas_seq_cst(p, expected, v) MODEL_CAS("cas_seq_cst", #p, p, expected, v, rl::mo_seq_cst)
#define fence_seq_cst() (MODEL_IS_WEAK("fence", "") ? (void)0 : rl::atomic_thread_fence(rl::mo_seq_cst, $))

/* What the public structures are written over: weft/lf/atomic.h is out. */
#define WEFT_LF_ATOMIC_H
#define weft_load_relaxed(p) load_relaxed(p)
#define weft_load_acquire(p) load_acquire(p)
#define weft_load_seq_cst(p) load_seq_cst(p)
#define weft_store_relaxed(p, v) store_relaxed(p, v)
#define weft_store_release(p, v) store_release(p, v)
#define weft_store_seq_cst(p, v) store_seq_cst(p, v)
#define weft_swap_acquire(p, v) swap_acquire(p, v)
#define weft_swap_release(p, v) swap_release(p, v)
#define weft_swap_acq_rel(p, v) swap_acq_rel(p, v)
#define weft_swap_seq_cst(p, v) swap_seq_cst(p, v)
#define weft_add_relaxed(p, v) add_relaxed(p, v)
#define weft_add_acq_rel(p, v) add_acq_rel(p, v)
#define weft_add_seq_cst(p, v) add_seq_cst(p, v)
#define weft_cas_relaxed(p, expected, v) cas_relaxed(p, expected, v)
#define weft_cas_acquire(p, expected, v) cas_acquire(p, expected, v)
#define weft_cas_release(p, expected, v) cas_release(p, expected, v)
#define weft_cas_acq_rel(p, expected, v) cas_acq_rel(p, expected, v)
#define weft_cas_seq_cst(p, expected, v) cas_seq_cst(p, expected, v)
#define weft_fence_seq_cst() fence_seq_cst()
#define WEFT_ATOMIC(T) ATOMIC(T)
#define WEFT_SHARED(T) SHARED(T)
#define weft_shared_get(p) shared_get(p)
#define weft_shared_set(p, v) shared_set(p, v)
#define WEFT_LF_ALIGNED
#define weft_cpu_relax() rl::yield(1, $)
#define weft_cpu_settle() ((void)0)

#else
#include "base/compiler.h"
#include "weft/lf/atomic.h"

#define ATOMIC(T) WEFT_ATOMIC(T)
#define SHARED(T) WEFT_SHARED(T)
#define shared_get(p) weft_shared_get(p)
#define shared_set(p, v) weft_shared_set(p, v)
#define load_relaxed(p) weft_load_relaxed(p)
#define load_acquire(p) weft_load_acquire(p)
#define load_seq_cst(p) weft_load_seq_cst(p)
#define store_relaxed(p, v) weft_store_relaxed(p, v)
#define store_release(p, v) weft_store_release(p, v)
#define store_seq_cst(p, v) weft_store_seq_cst(p, v)
#define swap_acquire(p, v) weft_swap_acquire(p, v)
#define swap_release(p, v) weft_swap_release(p, v)
#define swap_acq_rel(p, v) weft_swap_acq_rel(p, v)
#define swap_seq_cst(p, v) weft_swap_seq_cst(p, v)
#define add_relaxed(p, v) weft_add_relaxed(p, v)
#define add_acq_rel(p, v) weft_add_acq_rel(p, v)
#define add_seq_cst(p, v) weft_add_seq_cst(p, v)
#define cas_relaxed(p, expected, v) weft_cas_relaxed(p, expected, v)
#define cas_acquire(p, expected, v) weft_cas_acquire(p, expected, v)
#define cas_release(p, expected, v) weft_cas_release(p, expected, v)
#define cas_acq_rel(p, expected, v) weft_cas_acq_rel(p, expected, v)
#define cas_seq_cst(p, expected, v) weft_cas_seq_cst(p, expected, v)
#define fence_seq_cst() weft_fence_seq_cst()
#endif /* WEFT_MODEL */

#endif
