/* SPDX-License-Identifier: MIT
 *
 * erl_fail.c - src/erl with each call that may fail doing so in its turn: an error, or nothing is missing; nobody waits for what does not come, and nothing is left.
 */
#include "../erl.h"
#include "../faileach.h"
#include "../several.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define A "a@127.0.0.1"
#define B "b@127.0.0.1"

/* --- an epmd that none of that concerns: a process; the last to take a name has it --- */

struct line {
	char name[64];
	unsigned char port[2];
};

static bool all(int fd, unsigned char *p, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, p, n);

		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

/* Those who take a name keep the connection. True: it is left open. */
static bool serve_one(int fd, struct line *lines)
{
	unsigned char q[128] = {0}, ok[6] = {118, 0, 0, 0, 0, 7}, told[14] = {119, 0, 0, 0, 72, 0, 0, 6, 0, 6};
	int i = 0;

	if (all(fd, q, 2) && all(fd, q + 2, (size_t)q[1])) {
		const char *name = q[2] == 120 ? (char *)q + 13 : (char *)q + 3;
		size_t len = q[2] == 120 ? q[12] : (size_t)q[1] - 1;

		while (lines[i].name[0] && (strlen(lines[i].name) != len || memcmp(lines[i].name, name, len) != 0))
			i++;
		if (q[2] == 120) {
			memcpy(lines[i].name, name, len);
			memcpy(lines[i].port, q + 3, 2);
			if (write(fd, ok, sizeof ok) == sizeof ok)
				return true;
		}
		memcpy(told + 2, lines[i].port, 2);
		(void)!write(fd, told, sizeof told);
	}
	close(fd);
	return false;
}

static pid_t epmd_fork(int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	static struct line lines[8];
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), old[64] = {0}, k = 0;
	pid_t pid;

	T_GE(fd, 0);
	T_EQ(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	T_EQ(listen(fd, 64), 0);
	T_EQ(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*port = ntohs(a.sin_port);
	pid = fork();
	T_GE(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;; k = (k + 1) % 64) { /* the oldest have ended long since */
			int c = accept(fd, NULL, NULL);

			if (old[k])
				close(old[k]);
			old[k] = c >= 0 && serve_one(c, lines) ? c : 0;
		}
	}
	close(fd);
	return pid;
}

/* --- what is done --- */

static int port;

static int node(weft_erl **n, const char *name)
{
	return weft_erl_start(n, name, "cookie", &(weft_erl_opts){.epmd_port = port, .listen = "127.0.0.1:0"});
}

static const char get[] = "w\3get"; /* an atom */

static int get_call(void *state, weft_msg *m, weft_from from)
{
	(void)state;
	(void)m;
	(void)weft_server_reply(from, get, sizeof get - 1);
	return 0;
}

static int passed_over(void *state, weft_msg *m)
{
	(void)state;
	(void)m;
	return 0;
}

static int speak(weft_erl *a)
{
	weft_erl_to to = weft_erl_at("getter", B);
	ei_x_buff got = {.buff = NULL};
	weft_actor_ref there;
	int rc = weft_erl_ping(a, B);

	if (rc == 0)
		rc = weft_erl_cast(a, to, get, sizeof get - 1);
	if (rc == 0)
		rc = weft_erl_call(a, to, get, sizeof get - 1, &got);
	free(got.buff);
	if (rc == 0)
		rc = weft_erl_stand_in(a, &there, to);
	if (rc == 0) {
		char reply[16];

		rc = weft_server_call(there, 0, get, sizeof get - 1, reply, sizeof reply);
		(void)weft_actor_stop_wait(there);
		rc = rc < 0 ? rc : 0;
	}
	return rc;
}

static int make(void)
{
	weft_erl *a, *b;
	int rc = node(&a, A);

	if (rc)
		return rc;
	rc = node(&b, B);
	if (rc == 0) {
		rc = speak(a);
		T_EQ(weft_erl_stop(b), 0);
	}
	T_EQ(weft_erl_stop(a), 0);
	return rc;
}

static bool may(int rc)
{
	return rc < 0 && rc != WEFT_EINVAL && rc != WEFT_ETIMEDOUT && rc != WEFT_ECANCELED;
}

static const weft_server_vt getter = {.call = get_call, .cast = passed_over, .info = passed_over};

static int fails(void *arg)
{
	static const struct thing node_thing = {"node", make};
	weft_actor_ref ref;

	(void)arg;
	until_all_workers_run();
	T_EQ(weft_server_start(&ref, &getter, NULL, &(weft_server_opts){.name = "getter"}), 0);
	T_EQ(make(), 0);
	fail_each(&node_thing, may);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

TEST_WORKERS(nodes_do_without_what_they_do_not_get)
{
	pid_t pid = epmd_fork(&port);

	run(fails, NULL);
	T_EQ(kill(pid, SIGKILL), 0);
	T_EQ(waitpid(pid, NULL, 0), pid);
}

/* --- a node of another runtime: asked by a task, and by a thread that has not called weft before --- */

static weft_runtime *home;

static int begins(void *out)
{
	return node(out, A);
}

static int begin_at_home(weft_erl **out)
{
	weft_task *t;
	int rc = weft_runtime_go(home, &t, begins, out, NULL);

	return rc ? rc : finish(t);
}

struct speaker {
	weft_erl *a;
	int rc;
	_Atomic bool done;
};

static void *is_speaker(void *arg)
{
	struct speaker *s = arg;
	weft_actor_ref there;

	s->rc = weft_erl_ping(s->a, B);
	if (s->rc == 0)
		s->rc = weft_erl_stand_in(s->a, &there, weft_erl_at("getter", B));
	if (s->rc == 0 && !weft_erl_connected(s->a, B))
		s->rc = WEFT_ENOMEM;
	s->done = true;
	return NULL;
}

static int by_thread(weft_erl *a)
{
	struct speaker s = {.a = a};
	pthread_t th;

	if (pthread_create(&th, NULL, is_speaker, &s) != 0)
		return WEFT_ENOMEM;
	until(s.done);
	T_EQ(pthread_join(th, NULL), 0);
	return s.rc;
}

static int make_elsewhere(void)
{
	weft_erl *a, *b;
	int rc = begin_at_home(&a);

	if (rc)
		return rc;
	rc = node(&b, B);
	if (rc == 0) {
		rc = speak(a);
		if (rc == 0)
			rc = by_thread(a);
		T_EQ(weft_erl_stop(b), 0);
	}
	while (weft_erl_stop(a) == WEFT_ENOMEM)
		rc = WEFT_ENOMEM;
	return rc;
}

static int fails_elsewhere(void *arg)
{
	static const struct thing node_thing = {"node elsewhere", make_elsewhere};
	struct runtime *rt;
	weft_actor_ref ref;

	(void)arg;
	home = made(2);
	rt = (struct runtime *)home;
	until_all_workers_run();
	for (unsigned i = 0; i < rt->n; i++)
		until(load_relaxed(&rt->workers[i].tid) != 0); /* as there */
	T_EQ(weft_server_start(&ref, &getter, NULL, &(weft_server_opts){.name = "getter"}), 0);
	T_EQ(make_elsewhere(), 0);
	fail_each(&node_thing, may);
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_EQ(weft_free(home, WEFT_FOREVER), 0);
	return 0;
}

TEST_WORKERS(nodes_of_another_runtime_do_so_too)
{
	pid_t pid = epmd_fork(&port);

	run(fails_elsewhere, NULL);
	T_EQ(kill(pid, SIGKILL), 0);
	T_EQ(waitpid(pid, NULL, 0), pid);
}
