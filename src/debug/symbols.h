/* SPDX-License-Identifier: MIT
 *
 * symbols.h - names of code addresses, static functions included.
 *
 * dladdr knows exported functions only, and in the program itself most are static.  So the symbol table of the file, if it was not
 * stripped, is asked first.
 *
 * Whose a function is: all of libweft.so are weft's.  Where weft is part of the program, those are whose name begins with weft_, and static ones of an object
 * file that has weft's mark among its symbols (base/compiler.h).
 */
#ifndef WEFT_DEBUG_SYMBOLS_H
#define WEFT_DEBUG_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbol {
	uintptr_t pc;       /* looked up */
	const char *name;   /* function, or NULL */
	uintptr_t offset;   /* into it */
	const char *module; /* path of the program or library, or NULL */
	uintptr_t address;  /* as addr2line -e MODULE wants it */
	bool ours;          /* a function of weft's */
};

#define SYMBOL_MODULES 16
#define SYMBOL_CACHE 1024

struct symbols {
	struct symbol_file {
		const void *base;  /* of the module in memory; NULL: place is free */
		const char *bytes; /* its file, mapped; NULL: it has nothing for us */
		size_t size;
		uintptr_t bias; /* address in memory less address in the file */
	} file[SYMBOL_MODULES];
	struct symbol cache[SYMBOL_CACHE]; /* by pc */
};

void weft__symbols_close(struct symbols *s);

/* The function that contains pc. s: all zero at first. What it points to is valid until s is closed. */
const struct symbol *weft__symbol_find(struct symbols *s, uintptr_t pc);

/* "function+0x12 (module+0x1234)" for a code address, as much of it as is known. ret: it is a return address, which may be the first byte of the next function: what is looked up is the call before it. */
void weft__symbol_text(struct symbols *s, uintptr_t pc, bool ret, char *buf, size_t n);

/* The last part of a path. */
const char *weft__file_name(const char *path);

#endif
