/* SPDX-License-Identifier: MIT
 *
 * redis.c - examples/redis.c against a server of Debian's, over TCP and a Unix domain socket; and without one.
 */
#include "net.h"
#include "peer.h"

static const char expected[] = "a value: OK\n"
			       "the same: world\n"
			       "no such key: nothing\n"
			       "a list: 0\n"
			       "its length: 3\n"
			       "its elements: a b c\n"
			       "a mistake: WRONGTYPE Operation against a key holding the wrong kind of value\n"
			       "300000 bytes came back as they went\n"
			       "a pipeline of 1000: the answers add up to 500500\n"
			       "pushed: subscribe weft:news ?\n"
			       "pushed: message weft:news one\n"
			       "pushed: message weft:news two\n"
			       "pushed: message weft:news three\n"
			       "pushed: unsubscribe weft:news ?\n"
			       "the connection is gone; a new one\n"
			       "still there: world\n";

/* REDIS_EXAMPLE: its path. Returns its exit status. */
static int run_example(const char *address, const char *seconds, char *said, size_t n)
{
	struct peer p;
	size_t got;

	peer_start(&p, PEER_OUT, REDIS_EXAMPLE, address, seconds, NULL);
	got = peer_read(&p, said, n - 1);
	said[got] = '\0';
	return peer_end(&p);
}

static void against_server(bool by_tcp)
{
	char dir[64], sock[80], port[16], address[80], said[4096];
	const char *path = peer_need("redis-server");
	int number = peer_port(own_host(), SOCK_STREAM);
	struct peer server;

	peer_dir(dir);
	snprintf(sock, sizeof sock, "%s/s", dir);
	snprintf(port, sizeof port, "%d", number);
	peer_start(&server, PEER_ERR, path, "--port", port, "--bind", own_host(), "--unixsocket", sock, "--save", "", "--appendonly", "no",
		   "--dir", dir, "--daemonize", "no", NULL);
	peer_until_says(&server, "eady to accept connections");
	if (by_tcp)
		snprintf(address, sizeof address, "%s:%d", own_host(), number);
	else
		snprintf(address, sizeof address, "%s", sock);
	T_EQ(run_example(address, "20", said, sizeof said), 0);
	T_STR_EQ(said, expected);
	peer_signal(&server, SIGTERM);
	T_EQ(peer_end(&server), 0);
	peer_dir_end(dir);
}

TEST(over_tcp)
{
	against_server(true);
}

TEST(over_a_unix_socket)
{
	against_server(false);
}

/* It waits for a server that is not there yet. */
TEST(server_comes_late)
{
	char dir[64], sock[80], said[4096];
	const char *path = peer_need("redis-server");
	struct peer server, client;
	size_t n;

	peer_dir(dir);
	snprintf(sock, sizeof sock, "%s/s", dir);
	peer_start(&client, PEER_OUT, REDIS_EXAMPLE, sock, "60", NULL);
	peer_start(&server, PEER_ERR, path, "--port", "0", "--unixsocket", sock, "--save", "", "--dir", dir, NULL);
	n = peer_read(&client, said, sizeof said - 1);
	said[n] = '\0';
	T_STR_EQ(said, expected);
	T_EQ(peer_end(&client), 0);
	peer_signal(&server, SIGTERM);
	T_EQ(peer_end(&server), 0);
	peer_dir_end(dir);
}

/* Without a server it says what it would need. */
TEST(no_server)
{
	char dir[64], sock[80], said[4096];

	(void)peer_need("true");
	peer_dir(dir);
	snprintf(sock, sizeof sock, "%s/s", dir);
	T_EQ(run_example(sock, "0", said, sizeof said), 1);
	T_STR_HAS(said, "no Redis server at ");
	T_STR_HAS(said, "redis-server --port 6379");
	peer_dir_end(dir);
}
