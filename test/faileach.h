/* SPDX-License-Identifier: MIT
 *
 * faileach.h - makes a thing again and again, and lets the n-th call that may fail do so (failpoint.h), for all n: it is refused without a trace, or made.
 */
#ifndef WEFT_TEST_FAILEACH_H
#define WEFT_TEST_FAILEACH_H

#include "failpoint.h"
#include "rt.h"

#include "io/fd.h"

struct thing {
	const char *name;
	int (*make)(void); /* makes and unmakes one; 0 or an error */
};

/* may: is this an error that a call that failed may bring? */
static void fail_each(const struct thing *t, bool (*may)(int rc))
{
	int refused = 0;
	long n;

	for (n = 1;; n++) {
		size_t records = weft__fd_count();
		int fds = rt_fds(), rc;
		bool fired;

		weft_trim(); /* caches of others aside, all is to be asked for again */
		failpoint_arm(n);
		rc = t->make();
		fired = failpoint_fired();
		failpoint_disarm();
		if (rc && !may(rc))
			T_FAIL("%s, call %ld (%s): %d", t->name, n, failpoint_name(), rc);
		if (rc && !fired)
			T_FAIL("%s refused although no call failed: %d", t->name, rc);
		if (rt_fds() != fds || weft__fd_count() != records)
			T_FAIL("%s, call %ld (%s): %d descriptors, before %d; %zu records, before %zu", t->name, n, failpoint_name(),
			       rt_fds(), fds, weft__fd_count(), records);
		refused += rc != 0;
		T_EQ(t->make(), 0); /* it works again */
		if (!fired)
			break;
		T_LT(n, 2000);
	}
	tap_note("%s: %ld calls, %d refused", t->name, n - 1, refused);
}

#endif
