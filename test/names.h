/* SPDX-License-Identifier: MIT
 *
 * names.h - a resolver of the test's own in the place of the system's: it knows what it was told, counts what it is asked, and sticks where it shall.
 *
 *   names_begin()                    from here on it is asked; for the process
 *   names_say("a.test", "192.0.2.1 2001:db8::1")    what it says of a name; "" : nothing of that family
 *   names_fail("b.test", WEFT_EAI_AGAIN)
 *   names_keep("c.test")             its answer counts as one of /etc/hosts
 *   stuck names: those that begin with "stuck"; they are answered, by 192.0.2.99, after names_open(), and lookups of them stick again after names_shut()
 *   names_asked                      how often it has been asked; names_stuck: how many stick now
 *
 * Services it knows: "http", 80.
 */
#ifndef WEFT_TEST_NAMES_H
#define WEFT_TEST_NAMES_H

#include "rt.h"

#include "io/addr.h"
#include "io/dns.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>

struct name {
	char host[64], addrs[256];
	int rc;
	bool keep;
};

static struct name names[64];
static int names_n;
static ATOMIC(int) names_asked, names_stuck;
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t names_opened = PTHREAD_COND_INITIALIZER;
static bool names_are_open; /* under lock */

static struct name *name_of(const char *host)
{
	for (int i = 0; i < names_n; i++) {
		if (strcmp(names[i].host, host) == 0)
			return &names[i];
	}
	return NULL;
}

static void name_add(const char *host, const char *addrs, int rc)
{
	struct name *n = name_of(host);

	n = n ? n : &names[names_n++];
	snprintf(n->host, sizeof n->host, "%s", host);
	snprintf(n->addrs, sizeof n->addrs, "%s", addrs);
	n->rc = rc;
	n->keep = false;
}

static UNUSED void names_say(const char *host, const char *addrs)
{
	name_add(host, addrs, 0);
}

static UNUSED void names_fail(const char *host, int rc)
{
	name_add(host, "", rc);
}

static UNUSED void names_keep(const char *host)
{
	name_of(host)->keep = true;
}

static UNUSED void names_shut(void)
{
	pthread_mutex_lock(&names_lock);
	names_are_open = false;
	pthread_mutex_unlock(&names_lock);
}

static UNUSED void names_open(void)
{
	pthread_mutex_lock(&names_lock);
	names_are_open = true;
	pthread_cond_broadcast(&names_opened);
	pthread_mutex_unlock(&names_lock);
}

static void names_stick(void)
{
	add_relaxed(&names_stuck, 1); /* counters; what they mean is watched, and ordered by the lock */
	pthread_mutex_lock(&names_lock);
	while (!names_are_open)
		pthread_cond_wait(&names_opened, &names_lock);
	pthread_mutex_unlock(&names_lock);
	add_relaxed(&names_stuck, -1);
}

static int names_put(struct dns_answer *a, const char *texts, int family, int port)
{
	char copy[256], *save, *text;

	snprintf(copy, sizeof copy, "%s", texts);
	a->addrs = calloc(16, sizeof *a->addrs);
	if (!a->addrs)
		return WEFT_ENOMEM;
	for (text = strtok_r(copy, " ", &save); text; text = strtok_r(NULL, " ", &save)) {
		weft_addr known[2];

		if (weft__addr_known(known, text, family, false) != 1)
			continue; /* of the other family */
		weft__addr_set_port(&known[0], port);
		a->addrs[a->n++] = known[0];
	}
	return a->n ? 0 : WEFT_EAI_NODATA;
}

static int names_lookup(const struct dns_query *q, struct dns_answer *a)
{
	struct name *n = q->host ? name_of(q->host) : NULL;
	int port = 0;

	add_relaxed(&names_asked, 1); /* as above */
	if (q->of.sa.sa_family != AF_UNSPEC) {
		char at[WEFT_ADDR_TEXT];

		T_GT(weft_addr_format(&q->of, at, sizeof at), 0);
		n = name_of(at); /* "192.0.2.1:0" */
		if (n && !n->rc)
			a->name = strdup(n->addrs);
		return !n ? WEFT_EAI_NONAME : n->rc ? n->rc : a->name ? 0 : WEFT_ENOMEM;
	}
	if (q->service && strcmp(q->service, "http") != 0)
		return WEFT_EAI_SERVICE;
	port = q->service ? 80 : 0;
	if (!q->host)
		return names_put(a, "127.0.0.1", AF_UNSPEC, port);
	if (strncmp(q->host, "stuck", 5) == 0) {
		names_stick();
		return names_put(a, "192.0.2.99", q->family, port);
	}
	if (!n)
		return WEFT_EAI_NONAME;
	a->keep = n->keep && !q->service;
	return n->rc ? n->rc : names_put(a, n->addrs, q->family, port);
}

static UNUSED void names_begin(void)
{
	weft__dns_lookup = names_lookup;
}

#endif
