/* SPDX-License-Identifier: MIT
 *
 * sessions.c - what clients keep to resume: a few sessions of each of the last hosts.
 *
 * A ticket of TLS 1.3 is for one use, so that nobody can tell two connections of one client by it: several are kept, and each is given away once. A session of TLS 1.2 is given again.
 */
#include "tls/tls.h"

#include <stdlib.h>
#include <string.h>

#define HOSTS 64
#define EACH 4 /* what two connections get that are made at once */

struct host {
	char *name; /* NULL: free */
	uint64_t used;
	SSL_SESSION *s[EACH]; /* the newest last */
	int n;
};

struct tls_cache {
	weft_spin lock; /* callers are inside OpenSSL: they must not park */
	uint64_t clock;
	struct host host[HOSTS];
};

struct tls_cache *weft__tls_cache_make(void)
{
	return calloc(1, sizeof(struct tls_cache));
}

static void host_free(struct host *h)
{
	for (int i = 0; i < h->n; i++)
		SSL_SESSION_free(h->s[i]);
	free(h->name);
}

void weft__tls_cache_free(struct tls_cache *c)
{
	if (!c)
		return;
	for (int i = 0; i < HOSTS; i++)
		host_free(&c->host[i]);
	free(c);
}

static struct host *find(struct tls_cache *c, const char *name)
{
	for (int i = 0; i < HOSTS; i++) {
		if (c->host[i].name && strcmp(c->host[i].name, name) == 0)
			return &c->host[i];
	}
	return NULL;
}

/* The one that was used longest ago, or never. */
static struct host *oldest(struct tls_cache *c)
{
	struct host *h = &c->host[0];

	for (int i = 1; i < HOSTS; i++) {
		if (c->host[i].used < h->used)
			h = &c->host[i];
	}
	return h;
}

void weft__tls_cache_put(struct tls_cache *c, const char *name, SSL_SESSION *s)
{
	struct host gone = {.n = 0}, *h;
	char *copy = strdup(name);

	weft_spin_lock(&c->lock);
	h = find(c, name);
	if (!h && copy) {
		h = oldest(c);
		gone = *h;
		*h = (struct host){.name = copy};
		copy = NULL;
	}
	if (h) {
		if (h->n == EACH) {
			SSL_SESSION *first = h->s[0];

			memmove(&h->s[0], &h->s[1], (EACH - 1) * sizeof h->s[0]);
			h->s[EACH - 1] = s;
			s = first;
		} else {
			h->s[h->n++] = s;
			s = NULL;
		}
		h->used = ++c->clock;
	}
	weft_spin_unlock(&c->lock);
	host_free(&gone);
	free(copy);
	SSL_SESSION_free(s);
}

SSL_SESSION *weft__tls_cache_take(struct tls_cache *c, const char *name)
{
	SSL_SESSION *s = NULL;
	struct host *h;

	weft_spin_lock(&c->lock);
	h = find(c, name);
	if (h && h->n > 0) {
		s = h->s[h->n - 1];
		if (SSL_SESSION_get_protocol_version(s) < TLS1_3_VERSION)
			SSL_SESSION_up_ref(s);
		else
			h->n--;
		h->used = ++c->clock;
	}
	weft_spin_unlock(&c->lock);
	return s;
}
