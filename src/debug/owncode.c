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
 *   system    libc, the loader, libuv, OpenSSL, whatever has malloc ...         no, unless the program has called, of libc's:
 *             - as the innermost call, a function that touches but what it is given (leaves: strlen, memcpy), whoever has given it a bad pointer
 *             - as the innermost call of an abort, one that aborts by itself: abort, a failed assertion
 *             - one that calls back with nothing in hand: qsort, bsearch
 * A stack that is full in a call of somebody else's is lent some more, and the task is ended when that call comes back to the program's own code: so all above that must be as said.
 *
 * Where weft is a part of the program the symbol table says which functions are its own (debug/symbols.h); a program without one cannot be told apart from it, nor one that was optimised as a whole.
 */
#include "debug/owncode.h"

#include "base/check.h"
#include "base/lock.h"
#include "debug/symbols.h"
#include "debug/unwind.h"
#include "weft/error.h"
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <sys/auxv.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_MAX (1u << 22) /* more are not looked at: of the smallest ones, a stack of 64 MiB */
#define MODULES 24

enum whose { OWN, CALLER, WEFT, SYSTEM, NOBODY };

/* What strcpy and its like become with _FORTIFY_SOURCE. */
#define CHECKED_NAMES                                                                                                      \
	"__strcpy_chk", "__strncpy_chk", "__stpcpy_chk", "__stpncpy_chk", "__strcat_chk", "__strncat_chk", "__memcpy_chk", \
		"__memmove_chk", "__mempcpy_chk", "__memset_chk"

static const char *const leaf_names[] = {
	"memcpy",
	"memmove",
	"mempcpy",
	"memset",
	"memchr",
	"memrchr",
	"rawmemchr",
	"memcmp",
	"memmem",
	"bcopy",
	"bzero",
	"strlen",
	"strnlen",
	"strcpy",
	"strncpy",
	"stpcpy",
	"stpncpy",
	"strcat",
	"strncat",
	"strcmp",
	"strncmp",
	"strchr",
	"strrchr",
	"strchrnul",
	"strstr",
	"strspn",
	"strcspn",
	"strpbrk",
	"strsep",
	"strcasecmp",
	"strncasecmp",
	"strtok_r",
	"strtol",
	"strtoul",
	"strtoll",
	"strtoull",
	CHECKED_NAMES,
	"__isoc23_strtol",
	"__isoc23_strtoul",
	"__isoc23_strtoll",
	"__isoc23_strtoull",
};
static const char *const abort_names[] = {
	"abort",       "__assert_fail", "__assert_perror_fail", "__chk_fail",     "raise",
	CHECKED_NAMES, "__sprintf_chk", "__vsprintf_chk",       "__snprintf_chk", "__vsnprintf_chk", /* they print to a file of their own */
};
static const char *const back_names[] = {"qsort", "qsort_r", "bsearch"};

/* Libraries in whose functions nobody may be ended: they have locks of the whole process, or weft does. By the beginning of the name of the file. */
static const char *const system_names[] = {
	"libweft",    "libc.",  "libc-",     "ld-",         "ld.",         "libpthread",  "libdl",     "librt.",
	"libresolv",  "libnss", "libanl",    "libuv",       "libcrypto",   "libssl",      "libstdc++", "libgcc_s",
	"linux-vdso", "libc++", "libunwind", "libjemalloc", "libtcmalloc", "libmimalloc",
};

/* And those that have one of these in the place of libc's. */
static const char *const system_calls[] = {"malloc", "pthread_mutex_lock"};

/* What does not change in a process. */
static struct known {
	uintptr_t leaves[ARRAY_LEN(leaf_names)], aborts[ARRAY_LEN(abort_names)], backs[ARRAY_LEN(back_names)],
		calls[ARRAY_LEN(system_calls)];
	bool in_program; /* weft is a part of the program, or of a library that is not its own */
	bool found;
} known;
static struct lock lock; /* RANK_POOL; guards writing known */

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

static bool is_system(const char *path)
{
	const char *name = weft__file_name(path);

	for (unsigned i = 0; i < ARRAY_LEN(system_names); i++) {
		if (strncmp(name, system_names[i], strlen(system_names[i])) == 0)
			return true;
	}
	return false;
}

/* But the program itself, in which an allocator cannot be told from the rest. */
static bool has_system_call(const struct module *m)
{
	uintptr_t program = (uintptr_t)getauxval(AT_ENTRY);

	for (unsigned i = 0; i < ARRAY_LEN(system_calls); i++) {
		if (known.calls[i] >= m->lo && known.calls[i] < m->hi)
			return program < m->lo || program >= m->hi;
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
	m.weft = known.in_program && here >= m.lo && here < m.hi;
	if (!m.weft && !is_system(info->dlpi_name) && !has_system_call(&m))
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

/* A call to where there is no function, so that nothing could be fetched there: back to whoever made it. Else it is code that was made at run time. */
static bool back_from_nowhere(const struct fall *f, struct regs *r)
{
	if (!f->has_address || f->address != r->pc)
		return false;
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
		return among(entry, known.backs, ARRAY_LEN(known.backs));
	return aborted ? among(entry, known.aborts, ARRAY_LEN(known.aborts)) : among(entry, known.leaves, ARRAY_LEN(known.leaves));
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
	bool exact = !f->ret, first = true, others = false, only_system = true;
	enum own_code found = OWN_NOT;
	uintptr_t entry = 0;

	if (!f->aborted && !dl_iterate_phdr(holds_pc, &r.pc)) {
		if (!back_from_nowhere(f, &r))
			return OWN_NOT;
		exact = false;
	}
	for (unsigned n = 0; n < FRAMES_MAX; n++) {
		enum whose who;
		uintptr_t begin;

		if (r.sp > f->top)
			return first || others ? OWN_NOT : found;
		begin = weft__unwind_begin(&walk.rules, &r, exact);
		who = begin ? whose(begin)
			    : NOBODY; /* asked of the function, not of the address: in a recursion that is one pass over the symbols */
		if (who == NOBODY)
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
	struct regs regs = {.pc = r->pc, .sp = r->sp, .fp = r->fp, .lr = r->lr, .probe = r->probe, .base = r->base};

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
	weft__symbol_text(&walk.symbols, pc, ret, buf, n);
}

/* --- before --- */

/* Of the library itself: the program may have an entry of its own for one. 0 begins no function. */
static void find_all(void *libc, const char *const *names, uintptr_t *out, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		out[i] = (uintptr_t)dlsym(libc, names[i]); /* of those that are chosen by the processor, the chosen one */
}

/* Does the symbol table say whose a function is? Also a static one: where all was optimised as a whole nothing of its file is left. Returns 0; WEFT_ENOTSUP, WEFT_ENOMEM. */
static int tells_weft(void)
{
	const uintptr_t some[] = {(uintptr_t)&weft__owncode_prepare, (uintptr_t)&note_module};
	struct symbols *all = calloc(1, sizeof *all);
	bool ours = true;

	if (!all)
		return WEFT_ENOMEM;
	for (unsigned i = 0; i < ARRAY_LEN(some); i++) {
		const struct symbol *s = weft__symbol_find(all, some[i]);

		ours &= s->name && s->ours;
	}
	weft__symbols_close(all);
	free(all);
	return ours ? 0 : WEFT_ENOTSUP;
}

/* No lock of weft's is held meanwhile: it takes the loader's, under which the program's constructors run. */
int weft__owncode_prepare(void)
{
	struct known k = {.found = true};
	Dl_info info;
	void *libc;
	bool found;
	int rc;

	lock_take(&lock, RANK_POOL);
	found = known.found;
	lock_drop(&lock);
	if (found)
		return 0;
	if (!dladdr((void *)(uintptr_t)&weft__owncode_prepare, &info) || !info.dli_fname)
		return WEFT_ENOTSUP;
	k.in_program = strncmp(weft__file_name(info.dli_fname), "libweft", 7) != 0;
	rc = k.in_program ? tells_weft() : 0;
	if (rc)
		return rc;
	libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	if (!libc)
		return WEFT_ENOTSUP;
	find_all(libc, leaf_names, k.leaves, ARRAY_LEN(leaf_names));
	find_all(libc, abort_names, k.aborts, ARRAY_LEN(abort_names));
	find_all(libc, back_names, k.backs, ARRAY_LEN(back_names));
	find_all(RTLD_DEFAULT, system_calls, k.calls, ARRAY_LEN(system_calls));
	dlclose(libc);
	if (!k.aborts[0])
		return WEFT_ENOTSUP;
	lock_take(&lock, RANK_POOL);
	if (!known.found) /* else others have found the same meanwhile, and may use it */
		known = k;
	lock_drop(&lock);
	return 0;
}
