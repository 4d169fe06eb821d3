/* SPDX-License-Identifier: MIT
 *
 * stackreport.h - how deep stacks are used, on paper.
 */
#ifndef WEFT_DEBUG_STACKREPORT_H
#define WEFT_DEBUG_STACKREPORT_H

/* weft_stack_report, where nobody asks for the result. Any thread. */
void weft__stack_report(int fd);

#endif
