/* SPDX-License-Identifier: MIT
 *
 * multicast.c - groups that a UDP socket receives from, and how what it sends to them travels.
 */
#include "io/addr.h"
#include "io/sock.h"
#include "io/udp.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

/* An interface's number; 0: NULL. */
static int interface_of(const char *name, unsigned *out)
{
	*out = name ? if_nametoindex(name) : 0;
	return name && !*out ? WEFT_ENODEV : 0;
}

static int membership(weft_udp *u, const weft_addr *group, const char *interface, int what)
{
	struct group_req r;
	int rc;

	memset(&r, 0, sizeof r);
	rc = interface_of(interface, &r.gr_interface);
	if (rc == 0 && group->sa.sa_family != AF_INET && group->sa.sa_family != AF_INET6)
		rc = WEFT_EINVAL;
	if (rc == 0)
		rc = weft__fd_enter(&u->f);
	if (rc)
		return rc;
	memcpy(&r.gr_group, group, weft__addr_len(group));
	if (setsockopt(u->f.fd, group->sa.sa_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, what, &r, sizeof r))
		rc = -errno;
	weft__fd_leave(&u->f);
	return rc;
}

int weft_udp_join(weft_udp *u, const weft_addr *group, const char *interface)
{
	return membership(u, group, interface, MCAST_JOIN_GROUP);
}

int weft_udp_leave(weft_udp *u, const weft_addr *group, const char *interface)
{
	return membership(u, group, interface, MCAST_LEAVE_GROUP);
}

/* For IPv4, and where the socket is of IPv6, for that as well. */
static int set_both(weft_udp *u, int v4, const void *value4, socklen_t n4, int v6, int value6)
{
	int rc = weft__fd_enter(&u->f);

	if (rc)
		return rc;
	if (setsockopt(u->f.fd, IPPROTO_IP, v4, value4, n4))
		rc = -errno;
	if (rc == 0 && udp_noted(u, NOTE_V6))
		rc = weft__sock_set(u->f.fd, IPPROTO_IPV6, v6, value6);
	weft__fd_leave(&u->f);
	return rc;
}

int weft_udp_multicast_ttl(weft_udp *u, int ttl)
{
	if (ttl < 0 || ttl > 255)
		return WEFT_EINVAL;
	return set_both(u, IP_MULTICAST_TTL, &ttl, sizeof ttl, IPV6_MULTICAST_HOPS, ttl);
}

int weft_udp_multicast_loop(weft_udp *u, bool on)
{
	int value = on;

	return set_both(u, IP_MULTICAST_LOOP, &value, sizeof value, IPV6_MULTICAST_LOOP, value);
}

int weft_udp_multicast_interface(weft_udp *u, const char *interface)
{
	struct ip_mreqn r;
	unsigned number;
	int rc = interface_of(interface, &number);

	if (rc)
		return rc;
	memset(&r, 0, sizeof r);
	r.imr_ifindex = (int)number;
	return set_both(u, IP_MULTICAST_IF, &r, sizeof r, IPV6_MULTICAST_IF, (int)number);
}
