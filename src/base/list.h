/* SPDX-License-Identifier: MIT
 *
 * list.h - the intrusive circular doubly linked list of weft/lf/list.h, by short names.
 *
 * A node that is in no list has next == NULL, so that "was I already taken out?" is one look (under the list's lock).
 */
#ifndef WEFT_BASE_LIST_H
#define WEFT_BASE_LIST_H

#include "base/compiler.h"
#include "weft/lf/list.h"

#define list weft_list
#define list_node weft_list_node
#define list_init weft_list_init
#define list_empty weft_list_empty
#define list_linked weft_list_linked
#define list_push_tail weft_list_push_tail
#define list_append weft_list_append
#define list_push_head weft_list_push_head
#define list_remove weft_list_remove
#define list_first weft_list_first
#define list_pop_head weft_list_pop_head
#define list_after weft_list_after

#endif
