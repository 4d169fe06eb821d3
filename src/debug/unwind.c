/* SPDX-License-Identifier: MIT
 *
 * unwind.c - reads .eh_frame: the rule for one code address, and one step by it.
 *
 * Followed is what compilers emit for ordinary functions: the CFA as stack or frame pointer (or one of two other registers of x86_64) plus an offset, return address and frame pointer saved
 * at offsets from it.  Expressions, other registers and unknown operations end in the frame-pointer step, which needs no more
 * than that the two words at the frame pointer look right.
 *
 * Format: Linux Standard Base, "Exception Frames" (.eh_frame and .eh_frame_hdr); DWARF 5, 6.4.  The loader's lock is held while a module's
 * information is read (dl_iterate_phdr), so that the module stays.
 */
#include "debug/unwind.h"

#include "base/compiler.h"
#include <link.h>
#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)
enum { REG_OF_BASE = 3, REG_OF_FP = 6, REG_OF_SP = 7, REG_OF_PROBE = 11, REG_OF_RA = 16 };
#define CODE_BITS(pc) (pc)
#else
enum { REG_OF_BASE = -2, REG_OF_FP = 29, REG_OF_SP = 31, REG_OF_PROBE = -1, REG_OF_RA = 30 };
#define CODE_BITS(pc) ((pc)&0x0000ffffffffffffu) /* saved return addresses may be signed */
#endif

enum how { HOW_FP, HOW_CFI, HOW_END };

/* --- bytes --- */

/* What is left to read; end: nothing is read from there on. A read past it gives 0 and sets bad. */
struct bytes {
	const unsigned char *at, *end;
	bool bad;
};

static uint64_t fixed(struct bytes *b, size_t n)
{
	uint64_t v = 0;

	if ((size_t)(b->end - b->at) < n) {
		b->bad = true;
		b->at = b->end;
		return 0;
	}
	memcpy(&v, b->at, n); /* little-endian, like both CPUs */
	b->at += n;
	return v;
}

static void skip(struct bytes *b, uint64_t n)
{
	if ((uint64_t)(b->end - b->at) < n) {
		b->bad = true;
		b->at = b->end;
	} else {
		b->at += n;
	}
}

static uint64_t leb(struct bytes *b, bool is_signed)
{
	uint64_t v = 0, byte;
	unsigned shift = 0;

	do {
		byte = fixed(b, 1);
		if (shift < 64)
			v |= (byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80 && !b->bad);
	if (is_signed && shift < 64 && byte & 0x40)
		v |= ~(uint64_t)0 << shift;
	return v;
}

#define ENC_PCREL 0x10
#define ENC_DATAREL 0x30

/* A pointer as .eh_frame encodes it. */
static uintptr_t encoded(struct bytes *b, unsigned enc)
{
	uintptr_t base = (enc & 0x70) == ENC_PCREL ? (uintptr_t)b->at : 0;
	uint64_t v;

	if (enc & 0x80 || ((enc & 0x70) && (enc & 0x70) != ENC_PCREL))
		b->bad = true;
	switch (enc & 0x0f) {
	case 0x0:
	case 0x4:
	case 0xc:
		v = fixed(b, 8);
		break;
	case 0x2:
		v = fixed(b, 2);
		break;
	case 0x3:
		v = fixed(b, 4);
		break;
	case 0xa:
		v = (uint64_t)(int16_t)fixed(b, 2);
		break;
	case 0xb:
		v = (uint64_t)(int32_t)fixed(b, 4);
		break;
	default:
		b->bad = true;
		return 0;
	}
	return base + (uintptr_t)v;
}

/* --- one entry --- */

struct entry {
	uintptr_t begin, size; /* code it describes */
	uint64_t code_align, ra_reg;
	int64_t data_align;
	struct bytes initial, program; /* operations of the CIE, of the FDE */
};

/* A length-prefixed record at `at`: its content. */
static struct bytes record(const unsigned char *at)
{
	uint32_t n;

	memcpy(&n, at, sizeof n);
	if (n == 0 || n > 0xffffff) /* 0xffffffff would be the 64-bit format */
		return (struct bytes){at, at, true};
	return (struct bytes){at + 4, at + 4 + n, false};
}

static bool parse_cie(const unsigned char *at, struct entry *e, unsigned *enc, bool *augmented)
{
	struct bytes b = record(at);
	const char *aug;
	uint64_t version;

	*enc = 0;
	*augmented = false;
	if (fixed(&b, 4) != 0)
		return false; /* not a CIE */
	version = fixed(&b, 1);
	if (version != 1 && version != 3)
		return false;
	aug = (const char *)b.at;
	while (fixed(&b, 1) != 0)
		;
	e->code_align = leb(&b, false);
	e->data_align = (int64_t)leb(&b, true);
	e->ra_reg = version == 1 ? fixed(&b, 1) : leb(&b, false);
	if (b.bad || (*aug && *aug != 'z'))
		return false;
	if (*aug == 'z') {
		uint64_t n = leb(&b, false);
		struct bytes data = b;

		*augmented = true;
		for (aug++; *aug; aug++) {
			if (*aug == 'R')
				*enc = (unsigned)fixed(&data, 1);
			else if (*aug == 'P')
				encoded(&data, (unsigned)fixed(&data, 1) & 0x7f);
			else if (*aug == 'L')
				fixed(&data, 1);
			else if (*aug != 'S' && *aug != 'B')
				return false;
		}
		skip(&b, n);
	}
	e->initial = b;
	return !b.bad;
}

static bool parse_fde(const unsigned char *at, struct entry *e)
{
	struct bytes b = record(at);
	const unsigned char *id = b.at;
	uint64_t back = fixed(&b, 4);
	unsigned enc;
	bool augmented;

	if (b.bad || back == 0 || !parse_cie(id - back, e, &enc, &augmented))
		return false;
	e->begin = encoded(&b, enc);
	e->size = encoded(&b, enc & 0x0f);
	if (augmented)
		skip(&b, leb(&b, false));
	e->program = b;
	return !b.bad;
}

/* --- its operations --- */

enum saved { SAVED_NOT, SAVED_AT, SAVED_UNDEFINED, SAVED_OTHER };

struct where {
	enum saved how;
	int64_t at;
};

struct row {
	uint64_t cfa_reg;
	int64_t cfa;
	bool cfa_other; /* an expression */
	struct where ra, fp, base;
};

#define REMEMBERED 8

struct machine {
	struct row row, first, stack[REMEMBERED];
	unsigned depth;
	const struct entry *e;
	uintptr_t at, pc;
};

static void note(struct machine *m, uint64_t reg, enum saved how, int64_t at)
{
	if (reg == m->e->ra_reg)
		m->row.ra = (struct where){how, at};
	else if (reg == REG_OF_FP)
		m->row.fp = (struct where){how, at};
	else if (reg == (uint64_t)REG_OF_BASE)
		m->row.base = (struct where){how, at};
}

static void restore(struct machine *m, uint64_t reg)
{
	if (reg == m->e->ra_reg)
		m->row.ra = m->first.ra;
	else if (reg == REG_OF_FP)
		m->row.fp = m->first.fp;
	else if (reg == (uint64_t)REG_OF_BASE)
		m->row.base = m->first.base;
}

/* False at the first operation behind pc. */
static bool advance(struct machine *m, uint64_t by)
{
	m->at += by * m->e->code_align;
	return m->at <= m->pc;
}

static void block(struct bytes *b)
{
	skip(b, leb(b, false));
}

/* Runs operations until pc is reached. False: something we do not know. */
static bool run(struct machine *m, struct bytes b)
{
	uint64_t reg;

	while (b.at < b.end) {
		unsigned op = (unsigned)fixed(&b, 1), low = op & 0x3f;
		bool on = true;

		switch (op & 0xc0) {
		case 0x40: /* advance_loc */
			if (!advance(m, low))
				return true;
			continue;
		case 0x80: /* offset */
			note(m, low, SAVED_AT, (int64_t)leb(&b, false) * m->e->data_align);
			continue;
		case 0xc0:
			restore(m, low);
			continue;
		default:
			break;
		}
		switch (op) {
		case 0x00: /* nop */
			break;
		case 0x02: /* advance_loc1, 2, 4 */
			on = advance(m, fixed(&b, 1));
			break;
		case 0x03:
			on = advance(m, fixed(&b, 2));
			break;
		case 0x04:
			on = advance(m, fixed(&b, 4));
			break;
		case 0x05: /* offset_extended */
			reg = leb(&b, false);
			note(m, reg, SAVED_AT, (int64_t)leb(&b, false) * m->e->data_align);
			break;
		case 0x06: /* restore_extended */
			restore(m, leb(&b, false));
			break;
		case 0x07: /* undefined */
			note(m, leb(&b, false), SAVED_UNDEFINED, 0);
			break;
		case 0x08: /* same_value */
			note(m, leb(&b, false), SAVED_NOT, 0);
			break;
		case 0x09: /* register */
			note(m, leb(&b, false), SAVED_OTHER, 0);
			leb(&b, false);
			break;
		case 0x0a: /* remember_state */
			if (m->depth == REMEMBERED)
				return false;
			m->stack[m->depth++] = m->row;
			break;
		case 0x0b: /* restore_state */
			if (!m->depth)
				return false;
			m->row = m->stack[--m->depth];
			break;
		case 0x0c: /* def_cfa */
			m->row.cfa_reg = leb(&b, false);
			m->row.cfa = (int64_t)leb(&b, false);
			m->row.cfa_other = false;
			break;
		case 0x0d: /* def_cfa_register */
			m->row.cfa_reg = leb(&b, false);
			m->row.cfa_other = false;
			break;
		case 0x0e: /* def_cfa_offset */
			m->row.cfa = (int64_t)leb(&b, false);
			break;
		case 0x0f: /* def_cfa_expression */
			m->row.cfa_other = true;
			block(&b);
			break;
		case 0x10: /* expression, val_expression */
		case 0x16:
			note(m, leb(&b, false), SAVED_OTHER, 0);
			block(&b);
			break;
		case 0x11: /* offset_extended_sf */
			reg = leb(&b, false);
			note(m, reg, SAVED_AT, (int64_t)leb(&b, true) * m->e->data_align);
			break;
		case 0x12: /* def_cfa_sf */
			m->row.cfa_reg = leb(&b, false);
			m->row.cfa = (int64_t)leb(&b, true) * m->e->data_align;
			m->row.cfa_other = false;
			break;
		case 0x13: /* def_cfa_offset_sf */
			m->row.cfa = (int64_t)leb(&b, true) * m->e->data_align;
			break;
		case 0x2d: /* aarch64: the return address is signed from here on; CODE_BITS strips that */
			break;
		case 0x2e: /* GNU_args_size */
			leb(&b, false);
			break;
		default:
			return false;
		}
		if (!on)
			return true;
	}
	return !b.bad;
}

static void rule_of(const struct entry *e, uintptr_t pc, struct unwind_rule *rule)
{
	struct machine m = {.e = e, .at = e->begin, .pc = pc};
	struct row *r = &m.row;

	if (e->ra_reg != REG_OF_RA || !run(&m, e->initial))
		return;
	m.first = m.row;
	m.at = e->begin;
	if (!run(&m, e->program))
		return;
	if (r->ra.how == SAVED_UNDEFINED) {
		rule->how = HOW_END;
		return;
	}
	if (r->cfa_other ||
	    (r->cfa_reg != REG_OF_SP && r->cfa_reg != REG_OF_FP && r->cfa_reg != (uint64_t)REG_OF_PROBE &&
	     r->cfa_reg != (uint64_t)REG_OF_BASE) ||
	    r->ra.how == SAVED_OTHER || r->fp.how == SAVED_OTHER || r->cfa != (int32_t)r->cfa || r->ra.at != (int32_t)r->ra.at ||
	    r->fp.at != (int32_t)r->fp.at)
		return;
	rule->how = HOW_CFI;
	rule->cfa_fp = r->cfa_reg == REG_OF_FP;
	rule->cfa_probe = r->cfa_reg == (uint64_t)REG_OF_PROBE;
	rule->cfa_base = r->cfa_reg == (uint64_t)REG_OF_BASE;
	rule->cfa = (int32_t)r->cfa;
	rule->ra_saved = r->ra.how == SAVED_AT;
	rule->ra = (int32_t)r->ra.at;
	rule->fp_saved = r->fp.how == SAVED_AT;
	rule->fp = (int32_t)r->fp.at;
	rule->base_saved = r->base.how == SAVED_AT;
	rule->base_lost = r->base.how > SAVED_AT || r->base.at != (int32_t)r->base.at;
	rule->base = (int32_t)r->base.at;
}

/* --- finding it --- */

/* The FDE that may contain pc, by the sorted table of .eh_frame_hdr. */
static const unsigned char *fde_of(const unsigned char *hdr, uintptr_t pc)
{
	struct pair {
		int32_t code, fde;
	} p;
	uint32_t count, lo = 0;
	const unsigned char *table;

	if (hdr[0] != 1 || (hdr[1] & 0x0f) > 0x0c || hdr[2] != 0x03 || hdr[3] != (ENC_DATAREL | 0x0b))
		return NULL; /* version, and the encodings that linkers choose */
	table = hdr + 4 + ((hdr[1] & 0x0f) == 0x0b || (hdr[1] & 0x0f) == 0x03 ? 4 : 8);
	memcpy(&count, table, sizeof count);
	table += sizeof count;
	for (uint32_t hi = count; lo < hi;) {
		uint32_t mid = lo + (hi - lo) / 2;

		memcpy(&p, table + mid * sizeof p, sizeof p);
		if ((uintptr_t)hdr + (uintptr_t)(intptr_t)p.code <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0)
		return NULL;
	memcpy(&p, table + (lo - 1) * sizeof p, sizeof p);
	return hdr + p.fde;
}

struct search {
	uintptr_t pc;
	struct unwind_rule *rule;
};

static int in_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;
	const unsigned char *hdr = NULL, *fde;
	bool inside = false;
	struct entry e;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t at = (uintptr_t)info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_LOAD)
			inside |= s->pc >= at && s->pc - at < ph->p_memsz;
		else if (ph->p_type == PT_GNU_EH_FRAME)
			hdr = (const unsigned char *)at;
	}
	if (!inside)
		return 0;
	fde = hdr ? fde_of(hdr, s->pc) : NULL;
	if (fde && parse_fde(fde, &e) && s->pc - e.begin < e.size) {
		s->rule->begin = e.begin;
		rule_of(&e, s->pc, s->rule); /* else it stays HOW_FP */
	}
	return 1;
}

static const struct unwind_rule *find(struct unwind_cache *u, uintptr_t pc)
{
	struct unwind_rule *rule = &u->rule[(pc ^ pc >> 10) % UNWIND_CACHE];
	struct search s = {pc, rule};

	if (rule->pc != pc) {
		*rule = (struct unwind_rule){.pc = pc, .how = HOW_FP};
		dl_iterate_phdr(in_module, &s);
	}
	return rule;
}

/* --- a step --- */

/* Also for an address of no module: compiled at run time, or a jump astray. */
static enum unwind by_fp(struct regs *r, unwind_word *word, void *arg)
{
	uintptr_t fp, pc;

	if (!r->fp)
		return UNWIND_END;
	if (r->fp < r->sp || r->fp % sizeof fp || !word(arg, r->fp, &fp) || !word(arg, r->fp + sizeof fp, &pc))
		return UNWIND_LOST;
	*r = (struct regs){.pc = CODE_BITS(pc), .sp = r->fp + 2 * sizeof fp, .fp = fp};
	return r->pc ? UNWIND_STEP : UNWIND_END;
}

static bool by_guess(const struct unwind_rule *rule, const struct regs *r)
{
	return rule->how == HOW_FP || (rule->cfa_probe && !r->probe) || (rule->cfa_base && !r->base);
}

uintptr_t weft__unwind_begin(struct unwind_cache *u, const struct regs *r, bool exact)
{
	const struct unwind_rule *rule = find(u, exact ? r->pc : r->pc - 1);

	return by_guess(rule, r) ? 0 : rule->begin;
}

enum unwind weft__unwind_step(struct unwind_cache *u, struct regs *r, bool exact, unwind_word *word, void *arg)
{
	const struct unwind_rule *rule = find(u, exact ? r->pc : r->pc - 1);
	struct regs up = {.fp = r->fp, .base = r->base};

	if (rule->how == HOW_END)
		return UNWIND_END;
	if (by_guess(rule, r))
		return by_fp(r, word, arg);
	up.sp = (rule->cfa_probe ? r->probe : rule->cfa_base ? r->base : rule->cfa_fp ? r->fp : r->sp) + (uintptr_t)(intptr_t)rule->cfa;
	if (up.sp < r->sp || (up.sp == r->sp && !exact))
		return UNWIND_LOST;
	if (rule->ra_saved)
		up.pc_at = up.sp + (uintptr_t)(intptr_t)rule->ra;
	if (!rule->ra_saved)
		up.pc = r->lr; /* interrupted before it was saved */
	else if (!word(arg, up.pc_at, &up.pc))
		return UNWIND_LOST;
	if (rule->fp_saved && !word(arg, up.sp + (uintptr_t)(intptr_t)rule->fp, &up.fp))
		return UNWIND_LOST;
	if (rule->base_lost || (rule->base_saved && !word(arg, up.sp + (uintptr_t)(intptr_t)rule->base, &up.base)))
		up.base = 0;
	up.pc = CODE_BITS(up.pc);
	*r = up;
	return up.pc ? UNWIND_STEP : UNWIND_END;
}
