/* SPDX-License-Identifier: MIT
 *
 * symbols.c - names of code addresses: the symbol table of the module's file, else dladdr.
 */
#include "debug/symbols.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* n entries of `size` bytes at `off` of f's file, or NULL if the file is shorter. */
static const void *part(const struct symbol_file *f, uint64_t off, uint64_t n, uint64_t size)
{
	return off <= f->size && size && n <= (f->size - off) / size ? f->bytes + off : NULL;
}

/* Is the file the one that was loaded? Its notes hold the build id. */
static bool same_notes(const struct symbol_file *f, const ElfW(Phdr) * ph, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (ph[i].p_type == PT_NOTE && (!part(f, ph[i].p_offset, ph[i].p_filesz, 1) ||
						memcmp(f->bytes + ph[i].p_offset, (const void *)(f->bias + ph[i].p_vaddr), ph[i].p_filesz)))
			return false;
	}
	return true;
}

/* The mapped file is what we can read: notes where it lies. */
static bool accept(struct symbol_file *f)
{
	const ElfW(Ehdr) *eh = part(f, 0, 1, sizeof *eh);
	const ElfW(Phdr) * ph;

	if (!eh || memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_ident[EI_CLASS] != ELFCLASS64)
		return false;
	ph = part(f, eh->e_phoff, eh->e_phnum, sizeof *ph);
	if (!ph)
		return false;
	f->bias = (uintptr_t)f->base;
	for (unsigned i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD) { /* the first one lies at base */
			f->bias -= ph[i].p_vaddr & ~(uintptr_t)(getauxval(AT_PAGESZ) - 1);
			return same_notes(f, ph, eh->e_phnum);
		}
	}
	return false;
}

static void file_open(struct symbol_file *f, const Dl_info *info)
{
	bool program = getauxval(AT_PHDR) - (uintptr_t)info->dli_fbase < 4096; /* headers lie in its first page */
	int fd = open(program ? "/proc/self/exe" : info->dli_fname, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *map;

	f->base = info->dli_fbase;
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (map != MAP_FAILED) {
			f->bytes = map;
			f->size = (size_t)st.st_size;
			if (!accept(f)) {
				munmap(map, f->size);
				f->bytes = NULL;
			}
		}
	}
	close(fd);
}

static struct symbol_file *file_of(struct symbols *s, const Dl_info *info)
{
	for (int i = 0; i < SYMBOL_MODULES; i++) {
		struct symbol_file *f = &s->file[i];

		if (!f->base)
			file_open(f, info);
		if (f->base == info->dli_fbase)
			return f;
	}
	return NULL;
}

/* One pass over a symbol table.  Static functions and marks stand behind the name of their file, all others at the end. */
struct search {
	uintptr_t at; /* an address of the file */
	const char *name;
	uintptr_t offset;
	bool c_file; /* the symbols just now are of one C file: not of a program optimised as a whole */
	bool marked; /* with weft's mark */
	bool local;  /* what was found is static: its file's mark may still come */
};

/* Returns whether that is enough. */
static bool look_at(struct search *s, const ElfW(Sym) * sym, const char *name)
{
	unsigned type = ELF64_ST_TYPE(sym->st_info);

	if (type == STT_FILE) {
		size_t n = strlen(name);

		if (s->name)
			return true;
		s->c_file = n > 2 && strcmp(name + n - 2, ".c") == 0;
		s->marked = false;
	} else if (type == STT_FUNC) {
		if (s->name || sym->st_shndx == SHN_UNDEF || s->at < sym->st_value ||
		    s->at - sym->st_value >= (sym->st_size ? sym->st_size : 1))
			return false;
		s->name = name;
		s->offset = s->at - sym->st_value;
		s->local = ELF64_ST_BIND(sym->st_info) == STB_LOCAL;
		return !s->local;
	} else if (type == STT_NOTYPE && sym->st_shndx == SHN_ABS && strcmp(name, "weft__inside") == 0) {
		s->marked = true;
	}
	return false;
}

/* The symbol table entry whose function contains s->at. */
static void look_up(const struct symbol_file *f, struct search *s)
{
	const ElfW(Ehdr) *eh = (const void *)f->bytes;
	const ElfW(Shdr) *sh = part(f, eh->e_shoff, eh->e_shnum, sizeof *sh);

	for (unsigned i = 0; sh && i < eh->e_shnum && !s->name; i++) {
		const ElfW(Sym) *sym = part(f, sh[i].sh_offset, sh[i].sh_size, 1);
		const ElfW(Shdr) * str;

		if (sh[i].sh_type != SHT_SYMTAB || !sym || sh[i].sh_link >= eh->e_shnum)
			continue;
		str = &sh[sh[i].sh_link];
		if (!part(f, str->sh_offset, str->sh_size, 1))
			continue;
		for (size_t n = sh[i].sh_size / sizeof *sym; n; n--, sym++) {
			if (sym->st_name < str->sh_size && look_at(s, sym, f->bytes + str->sh_offset + sym->st_name))
				break;
		}
	}
}

const char *weft__file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

const struct symbol *weft__symbol_find(struct symbols *s, uintptr_t pc)
{
	struct symbol *out = &s->cache[(pc ^ pc >> 10) % SYMBOL_CACHE];
	struct symbol_file *f;
	Dl_info info;

	if (out->pc == pc)
		return out;
	*out = (struct symbol){.pc = pc, .address = pc};
	if (!dladdr((void *)pc, &info))
		return out;
	out->module = info.dli_fname;
	out->address = pc - (uintptr_t)info.dli_fbase;
	f = file_of(s, &info);
	if (f && f->bytes) {
		struct search found = {.at = pc - f->bias};

		look_up(f, &found);
		out->address = found.at;
		out->name = found.name;
		out->offset = found.offset;
		out->ours = found.local && found.c_file && found.marked;
	}
	if (!out->name && info.dli_sname) {
		out->name = info.dli_sname;
		out->offset = pc - (uintptr_t)info.dli_saddr;
	}
	if (strncmp(weft__file_name(out->module), "libweft.so", 10) == 0)
		out->ours = true;
	else if (out->name && strncmp(out->name, "weft_", 5) == 0)
		out->ours = strcmp(out->name, "weft__user_main") != 0; /* what WEFT_MAIN makes of the program's main */
	return out;
}

void weft__symbol_text(struct symbols *s, uintptr_t pc, bool ret, char *buf, size_t n)
{
	const struct symbol *f = weft__symbol_find(s, pc - ret);
	const char *file = f->module ? weft__file_name(f->module) : NULL;

	if (!file)
		snprintf(buf, n, "0x%zx", (size_t)pc);
	else if (f->name)
		snprintf(buf, n, "%s+0x%zx (%s+0x%zx)", f->name, (size_t)(f->offset + ret), file, (size_t)(f->address + ret));
	else
		snprintf(buf, n, "0x%zx (%s+0x%zx)", (size_t)pc, file, (size_t)(f->address + ret));
}

void weft__symbols_close(struct symbols *s)
{
	for (int i = 0; i < SYMBOL_MODULES; i++) {
		if (s->file[i].bytes)
			munmap((void *)(uintptr_t)s->file[i].bytes, s->file[i].size);
	}
}
