/* SPDX-License-Identifier: MIT
 *
 * hosts.c - /etc/hosts, as far as it must be understood to tell that an answer of the system's resolver came from it. See hosts.h.
 *
 * The resolver itself is asked all the same, and its answer is what counts: order, families and aliases are its business. Here is only looked whether it can have come from elsewhere.
 */
#include "io/hosts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define FILE_MAX (32 << 10) /* bytes; of a longer file nothing is said. On the stack of a lane's thread */
#define BLANKS " \t\r"

const char *weft__hosts_file = "/etc/hosts", *weft__hosts_order = "/etc/nsswitch.conf";

/* All of a file, as a string. False: there is none, it is too long, or has zeros. */
static bool slurp(const char *path, char *buf)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t n = 0;
	ssize_t got;

	if (fd < 0)
		return false;
	while ((got = read(fd, buf + n, FILE_MAX - n)) > 0)
		n += (size_t)got;
	close(fd);
	if (got < 0 || n == FILE_MAX)
		return false;
	buf[n] = '\0';
	return strlen(buf) == n;
}

/* The next line, without its comment; NULL: none. *at moves on. */
static char *next_line(char **at)
{
	char *line = *at, *end;

	if (!line)
		return NULL;
	end = strchr(line, '\n');
	if (end)
		*end++ = '\0';
	*at = end;
	line[strcspn(line, "#")] = '\0';
	return line;
}

/* "hosts: files ...": what else there is comes later. */
static bool files_first(char *text)
{
	char *line, *word, *rest;
	bool first = false;

	while ((line = next_line(&text)) != NULL) {
		word = strtok_r(line, BLANKS ":", &rest);
		if (!word || strcmp(word, "hosts") != 0)
			continue;
		word = strtok_r(NULL, BLANKS ":", &rest);
		first = word && strcmp(word, "files") == 0; /* of several lines the last holds, or all are the same for us */
		if (!first)
			return false;
	}
	return first;
}

static bool is_address(const char *s, const weft_addr *a)
{
	struct in6_addr x;

	if (a->sa.sa_family == AF_INET6)
		return a->v6.sin6_scope_id == 0 && inet_pton(AF_INET6, s, &x) == 1 && memcmp(&x, &a->v6.sin6_addr, sizeof x) == 0;
	return inet_pton(AF_INET, s, &x) == 1 && memcmp(&x, &a->v4.sin_addr, sizeof a->v4.sin_addr) == 0;
}

/* "ADDRESS NAME NAME...". */
static bool says(const char *text, const char *name, const weft_addr *a)
{
	char buf[FILE_MAX], *at, *line, *word, *rest;

	at = strcpy(buf, text);
	while ((line = next_line(&at)) != NULL) {
		word = strtok_r(line, BLANKS, &rest);
		if (!word || !is_address(word, a))
			continue;
		while ((word = strtok_r(NULL, BLANKS, &rest)) != NULL) {
			if (strcasecmp(word, name) == 0)
				return true;
		}
	}
	return false;
}

bool weft__hosts_gave(const char *name, const weft_addr *addrs, int n)
{
	char text[FILE_MAX];

	if (!slurp(weft__hosts_order, text) || !files_first(text) || !slurp(weft__hosts_file, text))
		return false;
	for (int i = 0; i < n; i++) {
		if (!says(text, name, &addrs[i]))
			return false;
	}
	return n > 0;
}
