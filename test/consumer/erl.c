/* SPDX-License-Identifier: MIT
 *
 * erl.c - a user's program of weft-erl: a node where no epmd runs. Compiles as C and C++.
 */
#include <string.h>
#include <weft/erl.h>
#include <weft/runtime.h>

static int begin(void *arg)
{
	weft_erl_opts o;
	ei_x_buff x;
	weft_erl *n;
	int rc;

	(void)arg;
	memset(&o, 0, sizeof o);
	o.epmd_port = 1;
	o.listen = "127.0.0.1:0";
	rc = weft_erl_start(&n, "a@127.0.0.1", "cookie", &o);
	if (rc != WEFT_ECONNREFUSED || ei_x_new(&x) != 0 || ei_x_encode_atom(&x, "atom") != 0)
		return 1;
	ei_x_free(&x);
	return 0;
}

int main(void)
{
	return weft_run(begin, NULL, NULL) != 0;
}
