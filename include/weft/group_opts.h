/* SPDX-License-Identifier: MIT
 *
 * weft/group_opts.h - the options of a WEFT_WITH_GROUP block in C++, of which some are left out, which is meant: g++ -Wextra warns of each (missing-field-initializers), but not in
 * what a system's header has made.  Included by weft/group.h, and of no use to others.
 */
#ifndef WEFT_GROUP_OPTS_H
#define WEFT_GROUP_OPTS_H

#ifdef __cplusplus
#pragma GCC system_header

#define WEFT__GROUP_OPTS(...) \
	weft_group_opts       \
	{                     \
		__VA_ARGS__   \
	}
#endif

#endif
