/* SPDX-License-Identifier: MIT
 *
 * solo.c - elision ends in the middle of everything, very often (test/departure.h).
 *
 * Environment: WEFT_TEST_DEPARTURES=n sets how often, at all costs of time; a million is what a release is proved with.
 */
#include "departure.h"

#include <stdlib.h>

TEST(departures_by_the_thousand)
{
	const char *env = getenv("WEFT_TEST_DEPARTURES");
	long n = env ? atol(env) : 0;

	tap_limit(n > 0 ? 24 * 3600 : 240);
	departures(n > 0 ? n : tap_iters(10000), 100);
}
