/* SPDX-License-Identifier: MIT
 *
 * guard_linux.c - probes and installs guards on Linux.
 *
 * The kernel is asked twice, because emulators answer 0 to every advice and install nothing: an advice that cannot exist must be refused, and
 * a system call that reads an installed guard must fail with EFAULT (so the probe needs no signal handler).
 *
 * The mprotect budget is one counter, spent before the system call and given back when the mapping goes: 80% of what vm.max_map_count leaves at two
 * mappings a stack; malloc, libraries and threads need mappings too.
 */
#include "core/guard.h"

#include "base/atomic.h"
#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif
#ifndef MADV_GUARD_REMOVE
#define MADV_GUARD_REMOVE 103
#endif
#define MADV_IMPOSSIBLE 9999
#define MAP_COUNT_DEFAULT 65530

enum probe { UNKNOWN, REFUSED, WORKS };

static ATOMIC(int) probed;  /* enum probe; relaxed everywhere: every prober finds the same, and the word is all there is to see */
static ATOMIC(long) budget; /* guards by mprotect that may exist at once; 0: not read yet; relaxed for the same reason */
static ATOMIC(long) spent;  /* guards by mprotect that exist; relaxed: a counter */
static ATOMIC(int) said_so; /* the refusal was logged; relaxed: who swaps first logs */

/* A page that lies in a guard cannot be written from. */
static bool unreadable(const void *page)
{
	int fd[2], err;
	ssize_t n;

	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK))
		return false;
	n = write(fd[1], page, 1);
	err = errno;
	close(fd[0]);
	close(fd[1]);
	return n < 0 && err == EFAULT;
}

/* Answers 0 to an advice that cannot exist. */
static bool believes_all(void *page, size_t size)
{
	return madvise(page, size, MADV_IMPOSSIBLE) == 0;
}

static void *one_page(size_t *size)
{
	*size = (size_t)sysconf(_SC_PAGESIZE);
	return mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

bool weft__emulated(void)
{
	size_t size;
	void *page = one_page(&size);
	bool yes;

	if (page == MAP_FAILED)
		return false;
	yes = believes_all(page, size);
	munmap(page, size);
	return yes;
}

static enum probe probe(void)
{
	const char *no = getenv("WEFT_NO_GUARD_MADVISE");
	enum probe found = REFUSED;
	size_t size;
	void *page;

	if (no && *no && *no != '0')
		return REFUSED;
	page = one_page(&size);
	if (page == MAP_FAILED)
		return UNKNOWN;
	if (!believes_all(page, size) && madvise(page, size, MADV_GUARD_INSTALL) == 0 && unreadable(page))
		found = WORKS;
	munmap(page, size);
	return found;
}

enum stack_guard_kind weft__guard_kind(void)
{
	int p = load_relaxed(&probed);

	if (unlikely(p == UNKNOWN)) {
		p = probe();
		store_relaxed(&probed, p);
	}
	return p == WORKS ? GUARD_MADVISE : GUARD_MPROTECT;
}

static long max_map_count(void)
{
	int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
	char text[32];
	ssize_t n = -1;
	long count;

	if (fd >= 0) {
		n = read(fd, text, sizeof text - 1);
		close(fd);
	}
	if (n <= 0)
		return MAP_COUNT_DEFAULT;
	text[n] = '\0';
	count = strtol(text, NULL, 10);
	return count > 0 ? count : MAP_COUNT_DEFAULT;
}

size_t weft__guard_budget(void)
{
	long b = load_relaxed(&budget);

	if (unlikely(b == 0)) {
		b = max_map_count() / 10 * 8 / 2;
		store_relaxed(&budget, b);
	}
	return (size_t)b;
}

size_t weft__guard_spent(void)
{
	return (size_t)load_relaxed(&spent);
}

void weft__guard_forget(size_t n)
{
	add_relaxed(&spent, -(long)n);
}

/* Says once what the user can do about it. */
COLD static int refused(void)
{
	if (!swap_acq_rel(&said_so, 1))
		weft__log("out of guarded stacks: without MADV_GUARD_INSTALL (Linux 6.13, memory not locked) every stack costs two memory "
			  "mappings, and of "
			  "vm.max_map_count weft spends at most 80%%, which is %zu stacks (%zu exist); raise it with sysctl "
			  "vm.max_map_count=N",
			  weft__guard_budget(), weft__guard_spent());
	return -ENOMEM;
}

static int install_by_mprotect(void *p, size_t size)
{
	if (add_relaxed(&spent, 1) >= (long)weft__guard_budget()) {
		add_relaxed(&spent, -1);
		return refused();
	}
	if (mprotect(p, size, PROT_NONE)) {
		add_relaxed(&spent, -1);
		return refused();
	}
	return 0;
}

int weft__guard_install(void *p, size_t size, enum stack_guard_kind *kind)
{
	if (*kind == GUARD_MADVISE) {
		if (madvise(p, size, MADV_GUARD_INSTALL) == 0)
			return 0;
		if (errno != EINVAL)
			return -ENOMEM;
		*kind = GUARD_MPROTECT; /* locked memory */
	}
	return install_by_mprotect(p, size);
}

int weft__guard_remove(void *p, size_t size, enum stack_guard_kind kind)
{
	return (kind == GUARD_MADVISE ? madvise(p, size, MADV_GUARD_REMOVE) : mprotect(p, size, PROT_READ | PROT_WRITE)) ? -errno : 0;
}
