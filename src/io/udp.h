/* SPDX-License-Identifier: MIT
 *
 * udp.h - a UDP socket's record, for the files that work on one.
 */
#ifndef WEFT_IO_UDP_H
#define WEFT_IO_UDP_H

#include "io/fd.h"

#include <weft/udp.h>

struct weft_udp {
	struct fd f; /* its note: NOTE_V6, NOTE_GRO; constant from open to close */
};

#define NOTE_V6 1u  /* of IPv6; IPv4 addresses are mapped */
#define NOTE_GRO 2u /* with gro */

static inline bool udp_noted(const weft_udp *u, uint32_t note)
{
	return load_relaxed(&u->f.note) & note; /* constant */
}

#endif
