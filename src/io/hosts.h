/* SPDX-License-Identifier: MIT
 *
 * hosts.h - whether /etc/hosts is where the addresses of a name came from.
 */
#ifndef WEFT_IO_HOSTS_H
#define WEFT_IO_HOSTS_H

#include "base/compiler.h"
#include <stdbool.h>
#include <weft/net.h>

/* The system's resolver looks into /etc/hosts before it asks anybody (/etc/nsswitch.conf), and finds each of the n addresses beside this name there: then they came from there.
 * When in doubt, false. Reads both files: blocks its thread. Any thread. */
bool weft__hosts_gave(const char *name, const weft_addr *addrs, int n);

/* The files; replaced by tests. */
extern HIDDEN const char *weft__hosts_file, *weft__hosts_order;

#endif
