/* SPDX-License-Identifier: MIT
 *
 * peer.c - peer.h itself: a program is started, heard, written to, ended, with and without a runtime.
 */
#include "net.h"
#include "peer.h"

static void says(struct peer *p)
{
	char text[64] = "";

	peer_start(p, PEER_IN | PEER_ERR, peer_need("sh"), "-c", "echo one; echo two >&2; echo ready; cat; exit 7", NULL);
	T_STR_EQ(peer_until_says(p, "two"), "two");
	T_STR_EQ(peer_until_says(p, "read"), "ready");
	T_OK(peer_lives(p));
	T_OK(peer_write(p, "three", 5));
	peer_shut(p);
	T_EQ(peer_read(p, text, sizeof text), 5);
	T_STR_EQ(text, "three");
	T_EQ(peer_end(p), 7);
}

static int says_main(void *arg)
{
	struct peer p;

	(void)arg;
	says(&p);
	return 0;
}

TEST_WORKERS(a_task_listens)
{
	run_net(says_main, NULL);
}

TEST(a_thread_listens)
{
	struct peer p;

	says(&p);
}

static int killed_main(void *arg)
{
	struct peer p;

	(void)arg;
	peer_start(&p, 0, peer_need("sleep"), "1000", NULL);
	T_OK(peer_lives(&p));
	peer_signal(&p, SIGTERM);
	T_EQ(peer_end(&p), -SIGTERM);
	peer_start(&p, PEER_IN, peer_need("false"), NULL);
	T_EQ(peer_end(&p), 1);
	return 0;
}

TEST_WORKERS(a_killed_one_is_reaped)
{
	run_net(killed_main, NULL);
}

static int files_main(void *arg)
{
	char dir[64], path[128];
	struct peer p;

	(void)arg;
	peer_dir(dir);
	snprintf(path, sizeof path, "%s/a/b", dir);
	peer_start(&p, 0, peer_need("mkdir"), "-p", path, NULL);
	T_EQ(peer_end(&p), 0);
	T_EQ(access(path, F_OK), 0);
	peer_dir_end(dir);
	T_NE(access(dir, F_OK), 0);
	return 0;
}

TEST(a_directory)
{
	run_net(files_main, NULL);
}

/* Another program may have this port at another address, which peer_until_listens takes for the peer's. */
static weft_tcp *dial_when_up(struct peer *p, const char *at)
{
	weft_tcp *c;
	int rc;

	while ((rc = weft_tcp_dial(&c, at)) == WEFT_ECONNREFUSED) {
		T_OK(peer_lives(p));
		let_run();
	}
	T_EQ(rc, 0);
	return c;
}

static int ports_main(void *arg)
{
	int port = peer_port(own_host(), SOCK_STREAM);
	char at[64], bytes[8] = "";
	const char *path = peer_need("socat");
	struct peer p;
	weft_tcp *c;

	(void)arg;
	snprintf(at, sizeof at, "TCP-LISTEN:%d,bind=%s", port, own_host());
	peer_start(&p, 0, path, at, "PIPE", NULL);
	peer_until_listens(&p, port);
	snprintf(at, sizeof at, "%s:%d", own_host(), port);
	c = dial_when_up(&p, at);
	write_all(c, "hello", 5);
	read_all(c, bytes, 5);
	T_STR_EQ(bytes, "hello");
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(peer_end(&p), 0);
	return 0;
}

TEST_WORKERS(a_port)
{
	run_net(ports_main, NULL);
}
