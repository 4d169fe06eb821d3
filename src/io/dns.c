/* SPDX-License-Identifier: MIT
 *
 * dns.c - names to addresses and back: who asks, who shares, and what is asked of the system.
 *
 * A lookup is a record on the heap that owns all it touches. Its run blocks a thread of LANE_DNS (core/offload.h), and who asked may leave at any time.
 *
 *   PENDING -> ANSWERED   it has run: by the task that leads, or, if that one has left, by the thread that ran it
 *   PENDING -> GIVEN_UP   it never began, and whoever led has left: by the same. Who follows starts over
 *
 * A task that finds one of the same question under way follows: it waits for that one's end, upon its state (core/lot.h). Whoever ends it takes it off the list first: nobody
 * gets an answer that was there before he asked. The thread of the lane tells nobody while the leader is there to do it, so that a worker that is alone stays so
 * (base/solo.h).
 *
 * What /etc/hosts has said (io/hosts.h) is kept for DNS_KEEP_NS, one answer a shard, the last: who asks the same meanwhile gets that. Of all else nobody knows how long it holds.
 *
 * A leader that the runtime has left behind never ends its lookup, and those who follow it have gone with it: the thread that runs it does, or whoever takes the runtime down, and gives back what they had. Nobody of another run follows. Foreign threads, which outlive runs, neither lead nor follow: each
 * runs its own.
 *
 * References: the leader's, the job's, one of each that follows, the shard's of what it keeps.
 */
#include "io/dns.h"

#include "base/clock.h"
#include "base/ref.h"
#include "core/lot.h"
#include "core/offload.h"
#include "core/runtime.h"
#include "io/addr.h"
#include "io/hosts.h"
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS SMALL(64, 2)
#define SERVICE_MAX 32 /* bytes of a service's name */

enum { PENDING, ANSWERED, GIVEN_UP };

struct lookup {
	struct job job;
	struct list_node link; /* in its shard's list; under its lock. Not linked: over, or a foreign thread's */
	struct shard *shard;   /* constant */
	uint32_t run;          /* of the runtime; constant */
	ATOMIC(uint32_t) refs;
	ATOMIC(uint32_t) state;
	ATOMIC(bool) has_run; /* by its thread; read by who ends it, or would follow */
	struct dns_query q;   /* constant; its texts follow */
	int rc;               /* valid once ANSWERED */
	struct dns_answer a;  /* the same */
	int64_t until;        /* it is kept; under the shard's lock */
	char text[];
};

static struct shard {
	struct lock lock; /* RANK_SOURCE */
	struct list lookups;
	struct lookup *kept; /* NULL: none */
} shards[SHARDS];

static ATOMIC(size_t) count; /* a counter */

int (*weft__dns_lookup)(const struct dns_query *q, struct dns_answer *a) = weft__dns_system;

size_t weft__dns_count(void)
{
	return load_relaxed(&count); /* a counter */
}

/* --- lookups --- */

/* The run of the caller's runtime; 0: it is no task. */
static uint32_t run_here(void)
{
	struct worker *w = weft__worker();

	return w ? load_relaxed(&w->rt->run) : 0; /* constant */
}

static struct lookup *lookup_new(const struct dns_query *q, struct shard *s)
{
	size_t host = q->host ? strlen(q->host) + 1 : 0, service = q->service ? strlen(q->service) + 1 : 0;
	struct lookup *l = calloc(1, sizeof *l + host + service);

	if (!l)
		return NULL;
	l->shard = s;
	l->run = run_here();
	l->q = *q;
	if (host)
		l->q.host = memcpy(l->text, q->host, host);
	if (service)
		l->q.service = memcpy(l->text + host, q->service, service);
	store_relaxed(&l->refs, 2u); /* the leader's, the job's; not shared yet */
	add_relaxed(&count, 1u);     /* a counter */
	return l;
}

static void lookup_unref(struct lookup *l)
{
	if (!l || !ref_drop(&l->refs))
		return;
	free(l->a.addrs);
	free(l->a.name);
	free(l);
	add_relaxed(&count, (size_t)-1); /* a counter */
}

/* Ends l, which the caller has a reference to. */
static void lookup_end(struct lookup *l)
{
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */

	lock_take_solo(&l->shard->lock, RANK_SOURCE);
	if (list_linked(&l->link))
		list_remove(&l->link);
	lock_drop_solo(&l->shard->lock);
	/* has_run: relaxed, the lane has handed the job back by now. The store pairs with load_acquire in is_pending and ask. */
	store_release(&l->state, (uint32_t)(load_relaxed(&l->has_run) ? ANSWERED : GIVEN_UP));
	weft__lot_wake_all(w, &l->state, 0);
}

static void lookup_run(struct job *j)
{
	struct lookup *l = container_of(j, struct lookup, job);

	l->rc = weft__dns_lookup(&l->q, &l->a);
	store_release(&l->has_run, true); /* pairs with load_acquire in find */
}

/* Do those who have led and followed run no more? All are tasks of one run. */
static bool deserted(const struct lookup *l)
{
	return l->run && (!weft__run_is_up(l->run) || rt_deserted(l->run % RUNTIMES_MAX));
}

/* Nobody leads any more. */
static void lookup_drop(struct job *j)
{
	struct lookup *l = container_of(j, struct lookup, job);

	lookup_end(l);
	if (deserted(l))
		store_relaxed(&l->refs, 1u); /* the others are in frames that are left */
	lookup_unref(l);
}

static bool is_pending(void *arg)
{
	struct lookup *l = arg;

	return load_acquire(&l->state) == PENDING; /* pairs with store_release in lookup_end */
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* FNV-1a. */
static struct shard *shard_of(const struct dns_query *q)
{
	const unsigned char *p = q->host ? (const unsigned char *)q->host : (const unsigned char *)&q->of;
	size_t n = q->host ? strlen(q->host) : sizeof q->of;
	uint32_t h = 0x811c9dc5u;

	while (n--)
		h = (h ^ *p++) * 0x01000193u;
	return &shards[(h ^ h >> 16) % SHARDS];
}

/* Of the same run: what is left of others is nobody's. */
static bool asks(const struct lookup *l, uint32_t run, const struct dns_query *q)
{
	return l->run == run && l->q.family == q->family && same_text(l->q.host, q->host) && same_text(l->q.service, q->service) &&
	       memcmp(&l->q.of, &q->of, sizeof q->of) == 0;
}

/* The lookup of this question that is under way, with a reference; NULL: none. Locked. */
static struct lookup *find(struct shard *s, const struct dns_query *q)
{
	uint32_t run = run_here();

	for (struct list_node *n = list_first(&s->lookups); n; n = list_after(&s->lookups, n)) {
		struct lookup *l = container_of(n, struct lookup, link);

		if (load_acquire(&l->has_run)) /* pairs with store_release in lookup_run: its answer was there before */
			continue;
		if (asks(l, run, q)) {
			add_relaxed(&l->refs, 1u); /* under lock: whoever takes it off has one still */
			return l;
		}
	}
	return NULL;
}

/* The lookup to follow, with a reference; or lists `mine`: NULL. */
static struct lookup *follow_or_list(struct shard *s, const struct dns_query *q, struct lookup *mine)
{
	struct lookup *l;

	lock_take_solo(&s->lock, RANK_SOURCE);
	l = find(s, q);
	if (!l && mine)
		list_push_tail(&s->lookups, &mine->link);
	lock_drop_solo(&s->lock);
	return l;
}

/* l, which the caller has a reference to, is over, and was begun then. */
static void keep_answer(struct lookup *l, int64_t begun)
{
	struct shard *s = l->shard;
	struct lookup *old;

	if (l->rc || !l->a.keep)
		return;
	add_relaxed(&l->refs, 1u); /* the caller has one */
	lock_take_solo(&s->lock, RANK_SOURCE);
	old = s->kept;
	s->kept = l;
	l->until = clock_add(begun, DNS_KEEP_NS);
	lock_drop_solo(&s->lock);
	lookup_unref(old);
}

/* Runs l, and waits for it. Returns 0: it is ANSWERED; or an error, and it is somebody else's to end. */
static int lead(struct lookup *l, int64_t deadline)
{
	int64_t begun;
	int rc;

	begun = clock_now();
	l->job.run = lookup_run;
	l->job.drop = lookup_drop;
	rc = weft__offload(LANE_DNS, &l->job, REASON_NAME, deadline);
	if (rc)
		return rc;
	lookup_end(l);
	if (weft__worker())
		keep_answer(l, begun);
	lookup_unref(l); /* the job's */
	return 0;
}

/* What is kept of this question, with a reference; NULL: nothing that holds. */
static struct lookup *find_kept(struct shard *s, const struct dns_query *q)
{
	uint32_t run = run_here();
	struct lookup *l, *old = NULL;

	lock_take_solo(&s->lock, RANK_SOURCE);
	l = s->kept;
	if (l && (l->run != run || l->until <= clock_now())) {
		old = l;
		s->kept = l = NULL;
	}
	if (l && asks(l, run, q))
		add_relaxed(&l->refs, 1u); /* the shard has one, under lock */
	else
		l = NULL;
	lock_drop_solo(&s->lock);
	lookup_unref(old);
	return l;
}

/* Looks whether the caller may do anything, also where nobody is asked. */
int weft__dns_enter(int64_t deadline)
{
	int64_t limit = deadline;
	struct self me;
	int rc = self_enter(&me, &limit);

	if (rc)
		return rc;
	return deadline != WEFT_NOW && deadline != WEFT_FOREVER && deadline <= clock_now() ? WEFT_ETIMEDOUT : 0;
}

/* Asks. Returns 0, and *out is ANSWERED, with a reference for the caller; or an error, and it is NULL. */
static int ask(const struct dns_query *q, struct lookup **out, int64_t deadline)
{
	bool shares = weft__worker() != NULL;
	struct shard *s = shard_of(q);
	struct lookup *l, *mine;
	int rc;

	*out = NULL;
	l = shares ? find_kept(s, q) : NULL;
	if (l) {
		rc = weft__dns_enter(deadline);
		if (rc)
			lookup_unref(l);
		else
			*out = l;
		return rc;
	}
	if (deadline == WEFT_NOW) {
		rc = weft__dns_enter(deadline);
		return rc ? rc : WEFT_EAGAIN;
	}
	do {
		mine = lookup_new(q, s);
		if (!mine)
			return WEFT_ENOMEM;
		l = shares ? follow_or_list(s, q, mine) : NULL;
		if (l) {
			lookup_unref(mine);
			lookup_unref(mine);
			rc = weft__lot_wait(&l->state, is_pending, l, REASON_NAME, deadline);
		} else {
			l = mine;
			rc = lead(l, deadline);
		}
		if (!rc && load_acquire(&l->state) == ANSWERED) /* pairs with store_release in lookup_end */
			*out = l;
		else
			lookup_unref(l);
	} while (!rc && !*out);
	return rc;
}

/* --- the system's resolver --- */

/* What getaddrinfo and getnameinfo say, as weft says it; err: errno after it. */
static int code_of(int rc, int err)
{
	switch (rc) {
	case 0:
		return 0;
	case EAI_NONAME:
		return WEFT_EAI_NONAME;
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
	case EAI_FAMILY:
		return WEFT_EAI_NODATA;
	case EAI_SERVICE:
		return WEFT_EAI_SERVICE;
	case EAI_AGAIN:
		return WEFT_EAI_AGAIN;
	case EAI_MEMORY:
		return WEFT_ENOMEM;
	case EAI_SYSTEM:
		return err ? -err : WEFT_EAI_FAIL;
	default:
		return WEFT_EAI_FAIL;
	}
}

static bool has(const struct dns_answer *a, const weft_addr *x)
{
	for (int i = 0; i < a->n; i++) {
		if (memcmp(&a->addrs[i], x, sizeof *x) == 0)
			return true;
	}
	return false;
}

/* Those that are internet addresses, each once. */
static int collect(const struct addrinfo *first, struct dns_answer *a)
{
	size_t n = 0;

	for (const struct addrinfo *i = first; i; i = i->ai_next)
		n++;
	a->addrs = calloc(n, sizeof *a->addrs);
	if (!a->addrs)
		return WEFT_ENOMEM;
	for (const struct addrinfo *i = first; i; i = i->ai_next) {
		weft_addr x;

		if (i->ai_family != AF_INET && i->ai_family != AF_INET6)
			continue;
		memset(&x, 0, sizeof x);
		memcpy(&x, i->ai_addr, i->ai_family == AF_INET ? sizeof x.v4 : sizeof x.v6);
		if (!has(a, &x))
			a->addrs[a->n++] = x;
	}
	return a->n ? 0 : WEFT_EAI_NODATA;
}

static int system_name(const struct dns_query *q, struct dns_answer *a)
{
	char name[WEFT_DNS_NAME];
	int rc = getnameinfo(&q->of.sa, weft__addr_len(&q->of), name, sizeof name, NULL, 0, NI_NAMEREQD);

	rc = code_of(rc, errno);
	if (rc)
		return rc;
	a->name = strdup(name);
	return a->name ? 0 : WEFT_ENOMEM;
}

int weft__dns_system(const struct dns_query *q, struct dns_answer *a)
{
	struct addrinfo how = {.ai_family = q->family, .ai_socktype = SOCK_STREAM}, *found = NULL;
	int rc;

	if (q->of.sa.sa_family != AF_UNSPEC)
		return system_name(q, a);
	rc = getaddrinfo(q->host, q->service, &how, &found);
	if (rc == EAI_SERVICE) { /* one of UDP, then; nobody has been asked for the host so far */
		how.ai_socktype = SOCK_DGRAM;
		rc = getaddrinfo(q->host, q->service, &how, &found);
	}
	rc = code_of(rc, errno);
	if (rc)
		return rc;
	rc = collect(found, a);
	freeaddrinfo(found);
	a->keep = !rc && q->host && !q->service && weft__hosts_gave(q->host, a->addrs, a->n);
	return rc;
}

/* --- what users ask --- */

/* Letters, digits and what stands between them, one letter at least: it may be in /etc/services. */
static bool is_service(const char *s)
{
	bool letter = false;

	if (strlen(s) > SERVICE_MAX)
		return false;
	for (; *s; s++) {
		if (((*s | 32) >= 'a' && (*s | 32) <= 'z'))
			letter = true;
		else if (!(*s >= '0' && *s <= '9') && !strchr("-_./+*", *s))
			return false;
	}
	return letter;
}

/* The addresses of host with the port of service: into few, as many as fit; or, if that is NULL, all of them into *out. Returns how many, or an error. */
static int resolve(weft_addr **out, weft_addr *few, int max, const char *host, const char *service, const weft_dns_opts *o,
		   int64_t deadline)
{
	int port = service ? weft__addr_port(service) : 0, n, rc;
	weft_addr known[2], *from = known;
	struct lookup *l = NULL;

	if (port < 0 && !is_service(service))
		return WEFT_EINVAL;
	n = weft__addr_known(known, host, o->family, o->passive);
	if (n < 0)
		return n;
	if (n == 0 || port < 0) {
		struct dns_query q;

		memset(&q, 0, sizeof q); /* all of it: an initialiser need not reach all of a union */
		q.host = n ? NULL : host;
		q.service = port < 0 ? service : NULL;
		q.family = n ? AF_UNSPEC : o->family;
		if (o->numeric)
			return n ? WEFT_EAI_SERVICE : WEFT_EAI_NONAME;
		rc = ask(&q, &l, deadline);
		rc = rc ? rc : l->rc;
		if (rc) {
			lookup_unref(l);
			return rc;
		}
		port = port < 0 ? weft_addr_port(&l->a.addrs[0]) : port;
		from = n ? known : l->a.addrs;
		n = n ? n : l->a.n;
	}
	if (!few)
		few = *out = malloc((size_t)n * sizeof *few);
	else if (n > max)
		n = max;
	if (!few)
		n = WEFT_ENOMEM;
	for (int i = 0; i < n; i++) {
		few[i] = from[i];
		weft__addr_set_port(&few[i], port);
	}
	lookup_unref(l);
	return n;
}

/* The same of "host:port". */
static int resolve_text(weft_addr *few, int max, const char *text, const weft_dns_opts *o, int64_t deadline)
{
	struct addr_text t;
	int rc = weft__addr_split(&t, text);

	if (rc)
		return rc;
	if (weft__addr_port(t.port) < 0 && !is_service(t.port))
		return WEFT_EINVAL;
	if (t.brackets && (!strchr(t.host, ':') || weft__addr_known(few, t.host, AF_INET6, false) != 1))
		return WEFT_EINVAL; /* no address in them */
	return t.too_long ? WEFT_EAI_NONAME : resolve(NULL, few, max, t.host, t.port, o, deadline);
}

int weft__dns_targets(weft_addr *out, const char *text, int family, int64_t deadline)
{
	return resolve_text(out, DNS_TARGETS, text, &(weft_dns_opts){.family = family}, deadline);
}

int weft__dns_first(weft_addr *out, const char *text, int64_t deadline)
{
	weft_addr two[2]; /* room for what is known of a host */
	int rc = resolve_text(two, 2, text, &(weft_dns_opts){.passive = true}, deadline);

	if (rc < 0)
		return rc;
	*out = two[0];
	return 0;
}

int weft_dns_resolve_until(weft_addr **out, const char *host, const char *service, const weft_dns_opts *o, int64_t deadline)
{
	static const weft_dns_opts none;
	int rc;

	*out = NULL;
	o = o ? o : &none;
	if (o->family != AF_UNSPEC && o->family != AF_INET && o->family != AF_INET6)
		return WEFT_EINVAL;
	rc = weft__dns_enter(deadline);
	return rc ? rc : resolve(out, NULL, 0, host, service, o, deadline);
}

int weft_dns_resolve(weft_addr **out, const char *host, const char *service, const weft_dns_opts *o)
{
	return weft_dns_resolve_until(out, host, service, o, WEFT_FOREVER);
}

void weft_dns_free(weft_addr *addrs)
{
	free(addrs);
}

int weft_dns_reverse_until(const weft_addr *a, char *name, size_t n, int64_t deadline)
{
	struct dns_query q;
	struct lookup *l = NULL;
	int rc;

	if (a->sa.sa_family != AF_INET && a->sa.sa_family != AF_INET6)
		return WEFT_EINVAL;
	memset(&q, 0, sizeof q); /* AF_UNSPEC is 0 */
	q.of.sa.sa_family = a->sa.sa_family;
	if (a->sa.sa_family == AF_INET) {
		q.of.v4.sin_addr = a->v4.sin_addr;
	} else {
		q.of.v6.sin6_addr = a->v6.sin6_addr;
		q.of.v6.sin6_scope_id = a->v6.sin6_scope_id;
	}
	rc = weft__dns_enter(deadline);
	rc = rc ? rc : ask(&q, &l, deadline);
	rc = rc ? rc : l->rc;
	if (!rc) {
		size_t len = strlen(l->a.name);

		rc = len < n ? (int)len : WEFT_ENOSPC;
		if (rc >= 0)
			memcpy(name, l->a.name, len + 1);
	}
	lookup_unref(l);
	return rc;
}

int weft_dns_reverse(const weft_addr *a, char *name, size_t n)
{
	return weft_dns_reverse_until(a, name, n, WEFT_FOREVER);
}

int weft_addr_resolve_until(weft_addr *out, const char *text, int64_t deadline)
{
	int rc = weft__dns_enter(deadline);

	return rc ? rc : weft__dns_first(out, text, deadline);
}

int weft_addr_resolve(weft_addr *out, const char *text)
{
	return weft_addr_resolve_until(out, text, WEFT_FOREVER);
}
