/* SPDX-License-Identifier: MIT
 *
 * hello.c - a task sends one number, another receives it.
 */
#include <stdio.h>
#include <weft.h>

static void hello(chan *c, int n)
{
	chan_send(c, &n);
}

WEFT_MAIN(argc, argv)
{
	chan *c = chan_make(sizeof(int), 0);
	int n = 0;

	(void)argc;
	(void)argv;
	if (!c || go(hello, c, 42) != 0)
		return 1;
	if (chan_recv(c, &n) == 0)
		printf("hello, %d\n", n);
	chan_free(c);
	return n != 42;
}
