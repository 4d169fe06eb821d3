/* SPDX-License-Identifier: MIT
 *
 * sanitizer.c - finds the sanitizers that live in this process and passes on to them what sanitizer.h's callers report.
 *
 * The hooks are weak references: NULL in a plain program, so the packaged library needs no sanitizer to link or run.  The
 * functions here run between two stacks: they are never instrumented themselves, whatever the library is built with
 * (a frame entered under one fiber and left under another would unbalance both shadow stacks).
 *
 * AddressSanitizer:  start_switch_fiber on the stack that is left (a NULL save frees its fake stack), finish on the next one.
 * ThreadSanitizer:   switch_to_fiber right before the jump.  Flags 0: the switch orders the two fibers, as a scheduler does.
 * LeakSanitizer:     every task's stack is a root while the task lives, without its guard, which must not be read.
 * Valgrind:          a registered stack makes the change of stack pointer a switch instead of a huge frame.
 */
#include "base/sanitizer.h"

#include "base/check.h"

#include <pthread.h>
#ifdef HAVE_VALGRIND_H
#include <valgrind/valgrind.h>
#endif

#define WEAK extern __attribute__((weak))

WEAK void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom, size_t size);
WEAK void __sanitizer_finish_switch_fiber(void *fake_stack_save, const void **bottom_old, size_t *size_old);
WEAK void __asan_unpoison_memory_region(const volatile void *addr, size_t size);
WEAK void __lsan_register_root_region(const void *addr, size_t size);
WEAK void __lsan_unregister_root_region(const void *addr, size_t size);
WEAK void *__tsan_get_current_fiber(void);
WEAK void *__tsan_create_fiber(unsigned flags);
WEAK void __tsan_destroy_fiber(void *fiber);
WEAK void __tsan_switch_to_fiber(void *fiber, unsigned flags);
WEAK void __tsan_set_fiber_name(void *fiber, const char *name);
WEAK void __tsan_acquire(void *addr);
WEAK void __tsan_release(void *addr);
WEAK void AnnotateIgnoreReadsBegin(const char *file, int line);
WEAK void AnnotateIgnoreReadsEnd(const char *file, int line);

unsigned weft__san;

/* Early, so that a program's own constructors may already start tasks. */
__attribute__((constructor(101))) UNSEEN static void find_sanitizers(void)
{
	unsigned found = 0;

	if (__sanitizer_start_switch_fiber && __sanitizer_finish_switch_fiber && __asan_unpoison_memory_region)
		found |= SAN_ASAN;
	if (__tsan_switch_to_fiber && __tsan_create_fiber && __tsan_destroy_fiber && __tsan_get_current_fiber)
		found |= SAN_TSAN;
#ifdef HAVE_VALGRIND_H
	if (RUNNING_ON_VALGRIND)
		found |= SAN_VALGRIND;
#endif
	weft__san = found;
}

UNSEEN void weft__san_thread_init(struct san_fiber *f)
{
	pthread_attr_t attr;
	void *bottom;

	*f = (struct san_fiber){0};
	if (weft__san & SAN_TSAN)
		f->tsan = __tsan_get_current_fiber();
	if (weft__san & SAN_ASAN) {
		CHECK_EQ(pthread_getattr_np(pthread_self(), &attr), 0);
		CHECK_EQ(pthread_attr_getstack(&attr, &bottom, &f->size), 0);
		f->bottom = bottom;
		pthread_attr_destroy(&attr);
	}
}

UNSEEN void weft__san_fiber_init(struct san_fiber *f, const void *bottom, size_t size, const char *name)
{
	*f = (struct san_fiber){.bottom = bottom, .size = size};
	if (weft__san & SAN_TSAN) {
		f->tsan = __tsan_create_fiber(0);
		if (name && __tsan_set_fiber_name)
			__tsan_set_fiber_name(f->tsan, name);
	}
	if ((weft__san & SAN_ASAN) && __lsan_register_root_region && __lsan_unregister_root_region)
		__lsan_register_root_region(bottom, size);
#ifdef HAVE_VALGRIND_H
	if (weft__san & SAN_VALGRIND)
		f->valgrind_id = VALGRIND_STACK_REGISTER(bottom, (const char *)bottom + size - 1);
#endif
}

UNSEEN void weft__san_fiber_fini(struct san_fiber *f)
{
	if (weft__san & SAN_TSAN)
		__tsan_destroy_fiber(f->tsan);
	if (weft__san & SAN_ASAN) {
		if (__lsan_register_root_region && __lsan_unregister_root_region)
			__lsan_unregister_root_region(f->bottom, f->size);
		__asan_unpoison_memory_region(f->bottom, f->size); /* the last frames never returned */
	}
#ifdef HAVE_VALGRIND_H
	if (weft__san & SAN_VALGRIND)
		VALGRIND_STACK_DEREGISTER(f->valgrind_id);
#endif
	*f = (struct san_fiber){0};
}

UNSEEN void weft__san_before_switch(struct san_fiber *from, struct san_fiber *to, int from_ends)
{
	if (weft__san & SAN_ASAN)
		__sanitizer_start_switch_fiber(from_ends ? NULL : &from->asan_fake, to->bottom, to->size);
	if (weft__san & SAN_TSAN)
		__tsan_switch_to_fiber(to->tsan, 0); /* last: from here on TSan takes this code for `to` */
}

UNSEEN void weft__san_after_switch(struct san_fiber *self)
{
	const void *bottom_old;
	size_t size_old;

	if (weft__san & SAN_ASAN) {
		__sanitizer_finish_switch_fiber(self->asan_fake, &bottom_old, &size_old);
		self->asan_fake = NULL;
	}
}

UNSEEN bool weft__san_ignore_begin(void)
{
	if (!AnnotateIgnoreReadsBegin || !AnnotateIgnoreReadsEnd)
		return false;
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__); /* and writes */
	return true;
}

UNSEEN void weft__san_ignore_end(void)
{
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

UNSEEN void weft__san_acquire(void *p)
{
	if (__tsan_acquire)
		__tsan_acquire(p);
}

UNSEEN void weft__san_release(void *p)
{
	if (__tsan_release)
		__tsan_release(p);
}
