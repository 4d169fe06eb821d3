/* SPDX-License-Identifier: MIT
 *
 * addr.h - addresses from text, as the rest of io/ needs them.
 */
#ifndef WEFT_IO_ADDR_H
#define WEFT_IO_ADDR_H

#include <weft/net.h>

socklen_t weft__addr_len(const weft_addr *a);

/* Any IPv4 address, with a's port. */
void weft__addr_any4(weft_addr *a);

/* What a dial of `text` tries, in this order: into out[2]. Returns how many, or a negative code. */
int weft__addr_targets(weft_addr *out, const char *text);

#endif
