/* SPDX-License-Identifier: MIT
 *
 * lf.cpp - the structures of weft/lf from C++, by their headers alone: they compile, and two threads pass something through each.
 */
#include <cstdio>
#include <thread>
#include <weft/lf/backoff.h>
#include <weft/lf/flag.h>
#include <weft/lf/list.h>
#include <weft/lf/ms.h>
#include <weft/lf/seqlock.h>
#include <weft/lf/stack.h>

struct element {
	weft_stack_node link;
	weft_slist_node in_order;
	long n;
};

struct pair {
	long a, b;
};

static const long elements = 1000;
static element item[elements];
static weft_stack stack;
static weft_estack estack;
static weft_hp_domain domain;
static weft_ms queue;
static weft_flag flag;
static weft_seqlock lock;
static weft_seqlock_word words[WEFT_SEQLOCK_WORDS(pair)];

static void give()
{
	weft_hp *hp = weft_hp_acquire(&domain);

	for (long i = 0; i < elements; i++) {
		pair p = {i, -i};

		item[i].n = i;
		weft_stack_push(&stack, &item[i].link);
		weft_ms_push(&queue, hp, &item[i]);
		weft_seqlock_write(&lock, words, &p, sizeof p);
	}
	weft_hp_release(hp);
	weft_flag_raise(&flag);
}

int main()
{
	long sum = 0, count = 0, last = -1;
	weft_fifo fifo = {};
	bool ok = true, done;

	if (!weft_ms_init(&queue))
		return 2;
	std::thread giver(give);
	weft_hp *hp = weft_hp_acquire(&domain);

	do {
		weft_lf_backoff b = WEFT_LF_BACKOFF(4, 16, 64);
		pair p;
		void *v;

		done = weft_flag_is_up(&flag);
		while (weft_stack_node *n = weft_stack_pop(&stack)) {
			weft_estack_push(&estack, n);
			sum++;
		}
		while (weft_ms_pop(&queue, hp, &v)) {
			ok = ok && static_cast<element *>(v)->n == ++last;
			count++;
		}
		weft_seqlock_read(&lock, words, &p, sizeof p);
		ok = ok && p.a == -p.b;
		while (!done && weft_lf_backoff_spin(&b))
			;
	} while (!done);
	giver.join();
	while (weft_stack_node *n = weft_estack_pop(&estack))
		weft_fifo_push(&fifo, &WEFT_CONTAINER_OF(n, element, link)->in_order);
	while (weft_slist_node *n = weft_fifo_pop(&fifo))
		sum += WEFT_CONTAINER_OF(n, element, in_order)->n;
	weft_hp_release(hp);
	weft_ms_destroy(&queue);
	weft_hp_domain_destroy(&domain);
	ok = ok && count == elements && sum == elements + elements * (elements - 1) / 2;
	std::printf("%ld elements, %s\n", count, ok ? "ok" : "wrong");
	return !ok;
}
