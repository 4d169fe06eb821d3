/* SPDX-License-Identifier: MIT
 *
 * owncode.c - may the task that has just failed be ended where it stands?
 *
 * Only if nobody else's work is left half done. So its stack is walked, by the compiler's call frame information alone (a frame that this does not describe ends the walk, and the answer is no), from the
 * instruction that has failed up to the frame of the actor's loop:
 *
 *   own       code of the program, or of a library that is not named here       may be anywhere
 *   calls out weft's functions that hand over to handlers, with nothing in      may have called it, not itself have failed
 *             hand (base/compiler.h: CALLS_OUT)
 *   weft      all else of weft's                                                no: it may hold a lock, or stand in the middle of a worker's queue
 *   system    libc, the loader, libuv, OpenSSL, ...                             no, unless the program has called, of libc's:
 *             - as the innermost call, a function that touches but what it is given (leaves: strlen, memcpy), whoever has given it a bad pointer
 *             - as the innermost call of an abort, one that aborts by itself: abort, a failed assertion
 *             - one that calls back with nothing in hand: qsort, bsearch
 * A stack that is full in a call of somebody else's is lent some more, and the task is ended when that call comes back to the program's own code: so all above that must be as said.
 *
 * Where weft is a part of the program the symbol table says which functions are its own (debug/symbols.h); a program without one cannot be told apart from it.
 */
#include "debug/owncode.h"

#include "base/check.h"
#include "debug/symbols.h"
#include "debug/unwind.h"
#include "weft/error.h"
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define FRAMES_MAX (1u << 22) /* a stack is at most a GiB */
#define MODULES 24

enum whose { OWN, CALLER, WEFT, SYSTEM, NOBODY };

static const char *const leaf_names[] = {
	"memcpy",  "memmove", "mempcpy",    "memset",      "memchr",   "memrchr",   "rawmemchr", "memcmp",  "memmem",
	"bcopy",   "bzero",   "strlen",     "strnlen",     "strcpy",   "strncpy",   "stpcpy",    "stpncpy", "strcat",
	"strncat", "strcmp",  "strncmp",    "strchr",      "strrchr",  "strchrnul", "strstr",    "strspn",  "strcspn",
	"strpbrk", "strsep",  "strcasecmp", "strncasecmp", "strtok_r", "strtol",    "strtoul",   "strtoll", "strtoull",
};
static const char *const abort_names[] = {"abort", "__assert_fail", "__assert_perror_fail", "__chk_fail", "raise"};
static const char *const back_names[] = {"qsort", "qsort_r", "bsearch"};

/* Libraries in whose functions nobody may be ended: they have locks of the whole process, or weft does. By the beginning of the name of the file. */
static const char *const system_names[] = {
	"libweft", "libc.",  "libc-", "ld-",       "ld.",    "libpthread", "libdl",    "librt.",     "libresolv",
	"libnss",  "libanl", "libuv", "libcrypto", "libssl", "libstdc++",  "libgcc_s", "linux-vdso",
};

static uintptr_t leaves[ARRAY_LEN(leaf_names)], aborts[ARRAY_LEN(abort_names)], backs[ARRAY_LEN(back_names)];
static bool in_program; /* weft is a part of the program, or of a library that is not its own */

/* Of one walk. */
static struct {
	struct unwind_cache rules;
	struct symbols symbols;
	struct module {
		uintptr_t lo, hi;
		bool weft; /* and the program: symbols tell */
	} module[MODULES];
	unsigned n;
	bool full;
	uintptr_t lo, hi; /* of the stack, and of what may be lent to it */
} walk;

/* So that there is such a section also in a program that links nothing else that has one. */
CALLS_OUT __attribute__((used)) static void nothing(void)
{
}

extern HIDDEN const char calls_out_begin[] __asm__("__start_weft_calls_out"), calls_out_end[] __asm__("__stop_weft_calls_out");

/* --- whose code --- */

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_system(const char *path)
{
	const char *name = file_name(path);

	for (unsigned i = 0; i < ARRAY_LEN(system_names); i++) {
		if (strncmp(name, system_names[i], strlen(system_names[i])) == 0)
			return true;
	}
	return false;
}

/* The modules that are not all the program's own. */
static int note_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct module m = {UINTPTR_MAX, 0, false};
	uintptr_t here = (uintptr_t)&weft__owncode_prepare;

	(void)size;
	(void)arg;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t at = (uintptr_t)info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
			continue;
		m.lo = at < m.lo ? at : m.lo;
		m.hi = at + ph->p_memsz > m.hi ? at + ph->p_memsz : m.hi;
	}
	m.weft = in_program && here >= m.lo && here < m.hi;
	if (!m.weft && !is_system(info->dlpi_name))
		return 0;
	if (walk.n == MODULES) {
		walk.full = true;
		return 1;
	}
	walk.module[walk.n++] = m;
	return 0;
}

static enum whose whose(uintptr_t pc)
{
	const struct symbol *s;

	if (pc >= (uintptr_t)calls_out_begin && pc < (uintptr_t)calls_out_end)
		return CALLER;
	for (unsigned i = 0; i < walk.n; i++) {
		const struct module *m = &walk.module[i];

		if (pc < m->lo || pc >= m->hi)
			continue;
		if (!m->weft)
			return SYSTEM;
		s = weft__symbol_find(&walk.symbols, pc);
		return !s->name ? NOBODY : s->ours ? WEFT : OWN;
	}
	return OWN;
}

static bool among(uintptr_t begin, const uintptr_t *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (list[i] == begin)
			return true;
	}
	return false;
}

/* --- the walk --- */

static NO_ASAN bool word_of(void *arg, uintptr_t at, uintptr_t *out)
{
	(void)arg;
	if (at < walk.lo || at > walk.hi - sizeof *out || at % sizeof *out)
		return false;
	*out = *(const uintptr_t *)at;
	return true;
}

static int holds_pc(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t pc = *(const uintptr_t *)arg;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_X) && pc - (uintptr_t)info->dlpi_addr - ph->p_vaddr < ph->p_memsz)
			return 1;
	}
	return 0;
}

/* A call to where there is no function: back to whoever made it. */
static bool back_from_nowhere(struct regs *r)
{
#if defined(__x86_64__)
	if (!word_of(NULL, r->sp, &r->pc))
		return false;
	r->sp += sizeof(uintptr_t);
#else
	r->pc = r->lr & 0x0000ffffffffffffu; /* it may be signed */
#endif
	r->lr = r->probe = 0;
	return r->pc != 0;
}

/* A run of the system's frames is over: the program's own code has called it, by the function that begins at `entry`. */
static bool allowed(uintptr_t entry, bool innermost, bool aborted)
{
	if (!innermost)
		return among(entry, backs, ARRAY_LEN(backs));
	return aborted ? among(entry, aborts, ARRAY_LEN(aborts)) : among(entry, leaves, ARRAY_LEN(leaves));
}

/* The innermost frames, up to the first of the program's own, are somebody else's: may it be ended there, or when they have returned? */
static enum own_code judge(const struct fall *f, bool only_system, uintptr_t entry, const struct regs *r)
{
	uintptr_t ret;

	if (only_system && allowed(entry, true, f->aborted))
		return OWN_NOW;
	if (f->code != WEFT_EOVERFLOW)
		return OWN_NOT;
	return !r->pc_at || (word_of(NULL, r->pc_at, &ret) && ret == r->pc) ? OWN_LATER : OWN_NOT; /* not if it is signed */
}

static enum own_code look(struct fall *f, struct regs r, uintptr_t *ret_at)
{
	bool exact = true, first = true, others = false, only_system = true;
	enum own_code found = OWN_NOT;
	uintptr_t entry = 0;

	if (!f->aborted && !dl_iterate_phdr(holds_pc, &r.pc)) {
		if (!back_from_nowhere(&r))
			return OWN_NOT;
		exact = false;
	}
	for (unsigned n = 0; n < FRAMES_MAX; n++) {
		enum whose who;
		uintptr_t begin;

		if (r.sp > f->top)
			return first || others ? OWN_NOT : found;
		who = whose(exact ? r.pc : r.pc - 1);
		begin = weft__unwind_begin(&walk.rules, &r, exact);
		if (!begin || who == NOBODY)
			return OWN_NOT;
		if (who == OWN && first) {
			found = others ? judge(f, only_system, entry, &r) : f->aborted ? OWN_NOT : OWN_NOW;
			f->pc = r.pc;
			f->ret = !exact;
			*ret_at = r.pc_at;
			if (found == OWN_NOT)
				return OWN_NOT;
			first = others = false;
		} else if (first) {
			others = true;
			only_system &= who == SYSTEM;
		} else if (who == SYSTEM) {
			others = true;
		} else if (who == WEFT || (others && (who == CALLER || !allowed(entry, false, false)))) {
			return OWN_NOT;
		} else {
			others = false;
		}
		if (who == SYSTEM)
			entry = begin;
		if (weft__unwind_step(&walk.rules, &r, exact, word_of, NULL) != UNWIND_STEP)
			return OWN_NOT;
		exact = false;
	}
	return OWN_NOT;
}

enum own_code weft__owncode(struct fall *f, const struct overflow_regs *r, uintptr_t *ret_at)
{
	struct regs regs = {.pc = r->pc, .sp = r->sp, .fp = r->fp, .lr = r->lr, .probe = r->probe};

	/* A library may have gone, and another have come, since the last one. */
	memset(&walk.rules, 0, sizeof walk.rules);
	memset(walk.symbols.cache, 0, sizeof walk.symbols.cache);
	walk.n = 0;
	walk.full = false;
	walk.lo = f->lo;
	walk.hi = f->hi;
	dl_iterate_phdr(note_module, NULL);
	return walk.full ? OWN_NOT : look(f, regs, ret_at);
}

void weft__owncode_name(uintptr_t pc, bool ret, char *buf, size_t n)
{
	const struct symbol *s = weft__symbol_find(&walk.symbols, pc - ret); /* as in lastwords.c */
	const char *file = s->module ? file_name(s->module) : NULL;

	if (!file)
		snprintf(buf, n, "0x%zx", (size_t)pc);
	else if (s->name)
		snprintf(buf, n, "%s+0x%zx (%s+0x%zx)", s->name, (size_t)(s->offset + ret), file, (size_t)(s->address + ret));
	else
		snprintf(buf, n, "0x%zx (%s+0x%zx)", (size_t)pc, file, (size_t)(s->address + ret));
}

/* --- before --- */

/* Of the library itself: the program may have an entry of its own for one. 0 begins no function. */
static void find_all(void *libc, const char *const *names, uintptr_t *out, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		out[i] = (uintptr_t)dlsym(libc, names[i]); /* of those that are chosen by the processor, the chosen one */
}

int weft__owncode_prepare(void)
{
	uintptr_t here = (uintptr_t)&weft__owncode_prepare;
	const struct symbol *s;
	Dl_info info;
	void *libc;

	if (!dladdr((void *)here, &info) || !info.dli_fname)
		return WEFT_ENOTSUP;
	in_program = strncmp(file_name(info.dli_fname), "libweft", 7) != 0;
	if (in_program) {
		s = weft__symbol_find(&walk.symbols, here);
		if (!s->name || !s->ours)
			return WEFT_ENOTSUP;
	}
	libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	if (!libc)
		return WEFT_ENOTSUP;
	find_all(libc, leaf_names, leaves, ARRAY_LEN(leaves));
	find_all(libc, abort_names, aborts, ARRAY_LEN(aborts));
	find_all(libc, back_names, backs, ARRAY_LEN(backs));
	dlclose(libc);
	return aborts[0] ? 0 : WEFT_ENOTSUP;
}
