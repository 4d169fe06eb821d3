/* SPDX-License-Identifier: MIT
 *
 * tls.c - a user's program of weft-tls: asks for a connection that nobody takes. Compiles as C and C++.
 *
 * Built against the installed library (tools/consumer.sh).
 */
#include <stdio.h>
#include <weft/runtime.h>
#include <weft/tls.h>

static int ask(void *arg)
{
	char why[WEFT_TLS_WHY];
	weft_tls_config *cfg;
	weft_tls *t;
	int rc;

	(void)arg;
	if (weft_tls_config_make(&cfg, NULL, why) != 0) {
		printf("%s\n", why);
		return 3;
	}
	rc = weft_tls_dial(&t, "127.0.0.1:1", cfg, why);
	weft_tls_config_free(cfg);
	printf("%d: %s\n", rc, why);
	return rc == WEFT_ECONNREFUSED ? 0 : 4;
}

int main(void)
{
	return weft_run(ask, NULL, NULL) != 0;
}
