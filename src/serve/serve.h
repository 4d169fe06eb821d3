/* SPDX-License-Identifier: MIT
 *
 * serve.h - what tests ask of serve.c.
 */
#ifndef WEFT_SERVE_SERVE_H
#define WEFT_SERVE_SERVE_H

#include "base/compiler.h"
#include "weft/serve.h"

/* Called with the number of the listener that a connection was accepted from. NULL: nobody wants to know. */
extern HIDDEN void (*weft__serve_accepted)(int listener);

#endif
