/* SPDX-License-Identifier: MIT
 *
 * weft/erl.h - a node of an Erlang cluster: a library of its own, weft-erl, made of OTP's erl_interface (ei) and of weft's public calls.
 *
 *     weft_erl *n;
 *
 *     weft_erl_start(&n, "kv@127.0.0.1", "cookie", NULL);       known to epmd: net_adm:ping('kv@127.0.0.1') answers pong
 *     weft_reg_put("store", ref);                               {store, 'kv@127.0.0.1'} ! hello, gen_server:call({store, 'kv@127.0.0.1'}, get)
 *     weft_erl_send(n, weft_erl_at("logger", "b@127.0.0.1"), x.buff, (size_t)x.index);
 *
 * The program is a hidden node, as C nodes are: it speaks to all, is in nodes(hidden) there, and takes no part in global and pg. It speaks OTP's distribution protocol, version 6, with OTP 24 and newer; epmd must run.
 * Whoever has the cookie may do all that is said here; who listens on the wire reads it; who has no cookie but reaches the port can say another node's name, and keep that one from connecting for some seconds at a time. So it is with every Erlang node.
 *
 * Theirs to ours. Every name of the registry (weft/registry.h), and every pid that was given away (weft_erl_pid, or as the sender of a message), is an address:
 *
 *   {name, node} ! Term                  a message, with the tag WEFT_ERL_SEND
 *   gen_server:cast                      the same with WEFT_ERL_CAST, and what was cast; it goes to a server's `cast`
 *   gen_server:call                      a call (weft/server.h) with WEFT_ERL_CALL, and the request: weft_server_reply with a term answers it. Also now or later, by anybody
 *   erlang:monitor, link, exit(Pid, R)   as if an actor here had done it: see below for reasons
 *
 * weft_erl_term says what a message carries. Messages of one process come in the order in which it has sent them, calls among them. A call that fails by a code c (weft_server_fail, WEFT_ENOTSUP, WEFT_EMSGSIZE) is answered by
 * {error, {weft, c}}; one whose server has ended is not: its caller hears so by its monitor. When its caller gives up it is cancelled, and what has not been received yet never will be.
 * No actor that is slow holds up others of the same connection, nor answers: what it has no room for is kept for it, up to a bound on bytes, at which nothing more is read from that node. As long as that lasts its silence says
 * nothing, and it is lost only when writing to it fails.
 *
 * m->from of such a message is no address: it may be an actor of this node's own, which reads nothing, and without which the connection ends (so it is not to be stopped or killed), or WEFT_NO_ACTOR. Who has sent it says weft_erl_term.
 *
 * Order. Not kept is that of messages of two connections to the same node, one behind the other: what was kept for a slow actor from the first and what comes by the second race for its mailbox. Nor is that of what one of ours has
 * sent by a stand-in and of its own end: who monitors it there may hear of the end first.
 *
 * Ours to theirs. weft_erl_send, _cast and _call; and weft_erl_stand_in, which starts an actor that stands for a process: to send to it, call, monitor or link to it is to do so to that one, and it ends when that one does. Connections
 * are made when they are needed, also again after a loss. A message to a node is lost if the connection breaks before it has arrived, which nobody is told: who wants to know monitors.
 *
 * Reasons. What an actor's end (weft_end) is there: normal, shutdown, killed, noproc; else {weft, code | panic | canceled | fault, Code}. What a reason is here: the same back; {shutdown, _}: shutdown; noproc:
 * WEFT_END_UNKNOWN; noconnection: WEFT_END_CODE with WEFT_ENOTCONN; all others: WEFT_END_CODE with WEFT_EDOWN.
 *
 * Loss of a node. A connection ends with its socket, or when nothing has come for as long as `tick` says; both sides send at least four times as often. Then calls there fail with WEFT_ENOTCONN, and whoever is linked to or monitors one
 * of theirs, and the other way round, is told noconnection.
 *
 * Runtimes. A node is of the runtime in which it was started (weft/several.h), and so are its connections, stand-ins and whatever else it starts. Tasks of others, and threads, use it as well: a task of the node's runtime does what they
 * ask, on a copy, and they wait for that one, also in calls that do not block otherwise; which takes a task, so all may return WEFT_ENOMEM, and WEFT_EAGAIN (max_tasks). When their runtime goes down their calls are given up (weft_run's: if it was shut down; else by their deadlines), and nothing else.
 * A node is to be stopped before its own runtime goes down. If it is not, all calls from elsewhere end with WEFT_ECLOSED, those that wait, too, and weft_erl_stop closes what is open and frees the node; nothing more is sent, and what its tasks
 * had in hand is lost. One of weft_run's must not be used when weft_run is called again, but by weft_erl_stop.
 *
 * Terms are bytes in Erlang's external format, with or without the version byte; ei encodes and decodes them (ei_x_encode_..., ei_decode_...). What comes has none: ei_decode_version is not to be called. What came was looked at: ei may read it as
 * it is. No term is nested deeper than WEFT_ERL_DEPTH: one that comes ends the connection. (ei_s_print_term takes more than 2 KiB of stack a level; the rest of ei little.) Compile with -D_REENTRANT, as ei wants it.
 */
#ifndef WEFT_ERL_H
#define WEFT_ERL_H

#include "actor.h"
#include "error.h"
#include "export.h"
#include "server.h"
#include "time.h"
#include <ei.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

WEFT_BEGIN_DECLS

typedef struct weft_erl weft_erl; /* a node: this program's. One process may have several */

#define WEFT_ERL_DEPTH 512 /* tuples, lists and maps within each other, at most */

/* Zero is the default everywhere. */
typedef struct weft_erl_opts {
	const char *listen; /* where others connect to, as for weft_tcp_listen; NULL: ":0", all addresses, any port */
	int epmd_port;      /* epmd's, here and on other machines; 0: $ERL_EPMD_PORT, else 4369 */
	const char *epmd;   /* the address of this machine's; NULL: 127.0.0.1 */
	int64_t tick; /* nanoseconds without a word after which a node is lost; 0: 60 s, as OTP's net_ticktime. The same everywhere, please */
	size_t message_max; /* bytes of the longest message that is taken, less than 1 GiB; a longer one ends the connection. 0: 64 MiB */
	size_t reply_max;   /* bytes of the longest answer to a call of theirs, less than 1 GiB; 0: 64 KiB */
	size_t out_max; /* bytes that wait to be sent to a node before a sender waits; 0: 1 MiB. News of ends does not wait: at out_max + backlog_max the connection is cut */
	size_t backlog_max; /* bytes of messages and calls of a node that are neither received nor answered before no more is read from it; a call counts for 16 KiB more than its own. 0: 64 MiB */
	bool (*allow)(const char *name, void *arg); /* may others know this name of the registry? It must not block. NULL: all of them */
	void *arg;
	weft_ctx *
		ctx; /* above that of the node's tasks: when it ends the node is cut off, and all calls fail with WEFT_ECLOSED. NULL: the caller's */
} weft_erl_opts;

/* weft_erl_start - listen, and have epmd know it.
 *
 *   out     receives the node; NULL on error
 *   name    "alive@host": host as others find this machine; a name with dots goes with nodes that use long names, one without with short ones
 *   cookie  1 to 255 bytes
 *
 * Returns 0; WEFT_EEXIST: epmd knows one of that name; WEFT_ECONNREFUSED: no epmd runs; WEFT_EINVAL: no such name, cookie, or option; WEFT_ECONNABORTED: what is there is no epmd; WEFT_ENOMEM; the errors of
 * weft_tcp_listen and weft_tcp_dial; WEFT_ESRCH: no runtime.
 * Blocks: yes (dial, read). Threads: tasks. When epmd ends and comes back, it is told again.
 */
WEFT_API int weft_erl_start(weft_erl **out, const char *name, const char *cookie, const weft_erl_opts *o);
WEFT_API int weft_erl_start_until(weft_erl **out, const char *name, const char *cookie, const weft_erl_opts *o, int64_t deadline);

/* weft_erl_stop - take no more calls, and send what waits to be sent, all answers that have been given among it, until the deadline; leave epmd, cut all connections, end all that stands in for others; calls of other tasks end with WEFT_ECLOSED. Then n is gone: nobody may begin to use it any more.
 *
 * Returns 0; what ended the sending: WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN. WEFT_EINVAL: NULL. From outside its runtime: WEFT_ENOMEM, and nothing has happened.
 * Blocks: yes, also when cancelled: for calls of its own, of which none waits any more. Threads: any, but no actor that stands in for a process. Also when its runtime has gone.
 */
WEFT_API int weft_erl_stop(weft_erl *n);
WEFT_API int weft_erl_stop_until(weft_erl *n, int64_t deadline);

/* weft_erl_name - "alive@host". weft_erl_port - where it listens. As long as n lives. */
WEFT_API const char *weft_erl_name(const weft_erl *n);
WEFT_API int weft_erl_port(const weft_erl *n);

/* --- nodes --- */

/* weft_erl_connect - see that there is a connection. All that sends does so by itself.
 *
 * Returns 0; WEFT_ENOENT: epmd there knows no such node; WEFT_EACCES: the cookies differ, or it does not want us; WEFT_ECONNABORTED: what is there is no Erlang node, or too old; WEFT_EINVAL: no name of a node, or our own; WEFT_ECLOSED: n is
 * being stopped, or cut off; WEFT_ENOMEM; the errors of weft_tcp_dial: WEFT_ECONNREFUSED, ...; WEFT_ETIMEDOUT (also of a handshake, after seven seconds), WEFT_ECANCELED, WEFT_EAGAIN: there is none, and the deadline is WEFT_NOW.
 * Blocks: yes (name, dial, read, condition). Threads: any.
 */
WEFT_API int weft_erl_connect(weft_erl *n, const char *node);
WEFT_API int weft_erl_connect_until(weft_erl *n, const char *node, int64_t deadline);

/* weft_erl_disconnect - cut it, as erlang:disconnect_node does. Returns 0; WEFT_ENOTCONN; WEFT_EINVAL; WEFT_ECLOSED. Blocks: no. Threads: any. */
WEFT_API int weft_erl_disconnect(weft_erl *n, const char *node);

/* weft_erl_connected - is there a connection? Not to a node of which there is none, nor while n is being stopped. May have changed when you read it. Threads: any. */
WEFT_API bool weft_erl_connected(weft_erl *n, const char *node);

/* weft_erl_ping - net_adm:ping: connect, and ask its net_kernel. Returns 0: pong; as weft_erl_connect and weft_erl_call. */
WEFT_API int weft_erl_ping(weft_erl *n, const char *node);
WEFT_API int weft_erl_ping_until(weft_erl *n, const char *node, int64_t deadline);

/* weft_erl_watch - wait until the connection to the node has ended, whether or not there is another one by then. Returns 0: so it is, or there was none; WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN; WEFT_EINVAL; WEFT_ECLOSED. Blocks: yes (condition). Threads: any. */
WEFT_API int weft_erl_watch(weft_erl *n, const char *node);
WEFT_API int weft_erl_watch_until(weft_erl *n, const char *node, int64_t deadline);

/* --- sending --- */

/* A process of another node: by its name there, or by its pid. Both are borrowed for the call. */
typedef struct weft_erl_to {
	const char *name, *node;
	const erlang_pid *pid; /* in place of both */
} weft_erl_to;

static inline weft_erl_to weft_erl_at(const char *name, const char *node)
{
	weft_erl_to to = {name, node, 0};

	return to;
}

static inline weft_erl_to weft_erl_at_pid(const erlang_pid *pid)
{
	weft_erl_to to = {0, 0, pid};

	return to;
}

/* weft_erl_send - a message, as `To ! Term`. weft_erl_cast - as gen_server:cast.
 *
 *   term  len bytes: one term; copied
 *
 * Its sender is the calling actor's pid; that of the node, if the caller is none. Whether anybody has that name, or lives, is not asked.
 * Returns 0: it is on its way; WEFT_EINVAL: not one term that Erlang would take, or no such address; WEFT_EMSGSIZE: 1 GiB or more, or nested deeper than WEFT_ERL_DEPTH; WEFT_ENOTCONN: the connection broke just now; as weft_erl_connect.
 * Blocks: while there is no connection, or out_max bytes wait to be sent there (condition). Threads: any. On any error nothing was sent.
 */
WEFT_API int weft_erl_send(weft_erl *n, weft_erl_to to, const void *term, size_t len);
WEFT_API int weft_erl_send_until(weft_erl *n, weft_erl_to to, const void *term, size_t len, int64_t deadline);
WEFT_API int weft_erl_cast(weft_erl *n, weft_erl_to to, const void *term, size_t len);
WEFT_API int weft_erl_cast_until(weft_erl *n, weft_erl_to to, const void *term, size_t len, int64_t deadline);

/* weft_erl_call - as gen_server:call: send a request and wait for the answer.
 *
 *   reply  a buffer of ei's, or all zero: the answer is appended, reply->index moved; memory as ei's own (ei_x_free). NULL: not wanted. Written only if the call succeeds
 *
 * Returns 0; WEFT_ESRCH: no such process; WEFT_EDOWN: it has ended before it has answered; WEFT_ENOTCONN: its node was lost; WEFT_ETIMEDOUT, WEFT_ECANCELED: it may have been served all the same; else as weft_erl_send.
 * A late answer goes nowhere: each call is from a pid of its own.
 * Blocks: yes (condition). Threads: any.
 */
WEFT_API int weft_erl_call(weft_erl *n, weft_erl_to to, const void *req, size_t len, ei_x_buff *reply);
WEFT_API int weft_erl_call_until(weft_erl *n, weft_erl_to to, const void *req, size_t len, ei_x_buff *reply, int64_t deadline);

/* weft_erl_stand_in - start an actor that stands for a process of another node, which it monitors.
 *
 * It ends as that one does, with the end that its reason is; if there is none, at once, with WEFT_END_UNKNOWN; when the node is lost, with WEFT_ENOTCONN; and when it is stopped or killed here, which means nothing to that one.
 * What is sent to it (weft_actor_send, data: a term) is sent there, with the tag WEFT_ERL_CAST as a cast, else as a message; the sender there is the sender here. A call (weft_server_call: request and answer are terms) is one there, and
 * fails with the codes of weft_erl_call. What another node has sent to it (by a name of the registry, or its pid) goes on in the same way. What is no term is dropped, and such a call fails with WEFT_EINVAL.
 *
 *   out  receives its reference
 *
 * Returns 0; WEFT_ENOMEM, WEFT_EAGAIN, WEFT_ESRCH as weft_go; else as weft_erl_connect. Blocks: while there is no connection. Threads: any.
 */
WEFT_API int weft_erl_stand_in(weft_erl *n, weft_actor_ref *out, weft_erl_to to);
WEFT_API int weft_erl_stand_in_until(weft_erl *n, weft_actor_ref *out, weft_erl_to to, int64_t deadline);

/* weft_erl_pid - the pid by which others know an actor, for terms that name it. It has one for as long as it lives. Returns 0; WEFT_ESRCH: it has ended; WEFT_ENOMEM; WEFT_ECLOSED. Blocks: no. Threads: any. */
WEFT_API int weft_erl_pid(weft_erl *n, weft_actor_ref ref, erlang_pid *out);

/* --- what has come --- */

#define WEFT_ERL_SEND UINT64_C(0x776566742d65726c) /* m->tag of messages from Erlang: */
#define WEFT_ERL_CAST UINT64_C(0x776566742d65726d) /* what gen_server:cast has sent */
#define WEFT_ERL_CALL UINT64_C(0x776566742d65726e) /* what gen_server:call asks: weft_server_reply with a term */

/* weft_erl_term - what a message from Erlang carries.
 *
 *   len   receives its bytes; NULL: not wanted
 *   from  receives the pid of whoever has sent it; NULL: not wanted. Where that is not known (a plain send through a node that does not say so): all zero
 *
 * Returns the term, without version byte, as long as the message; NULL: m is none from Erlang.
 */
WEFT_API const char *weft_erl_term(const weft_msg *m, size_t *len, erlang_pid *from);

typedef struct weft_erl_stat {
	uint32_t nodes; /* connected */
	uint32_t calls; /* of ours, under way */
	uint32_t pids;  /* actors that have one */
	uint64_t
		dropped; /* messages from others that nobody has received: no such name or pid, ended, no room where the mailbox does not block, not allowed */
} weft_erl_stat;

/* weft_erl_stats - how it is doing. Returns 0; WEFT_EINVAL: NULL; WEFT_ECLOSED. Blocks: no. Threads: any. */
WEFT_API int weft_erl_stats(weft_erl *n, weft_erl_stat *out);

WEFT_END_DECLS

#endif
