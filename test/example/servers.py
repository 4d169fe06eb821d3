#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Talks to the example servers over real sockets, and checks what they answer byte for byte.

servers.py echo|chat|http|kv|proxy PROGRAM [TEST...]

Each test starts the server on a port that the kernel chooses, and ends it with SIGTERM: its exit status must be 0, and nothing may be on its
standard error. Speaks TAP. WEFT_TEST_SLOW: the machine is that many times slower (sanitizers, emulators); no wait is longer than LIMIT.
"""
import contextlib
import email.utils
import os
import random
import re
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback

SLOW = float(os.environ.get('WEFT_TEST_SLOW') or 1)
LIMIT = 30 * min(SLOW, 6)  # seconds
WRAPPER = shlex.split(os.environ.get('MESON_EXE_WRAPPER', ''))
PROGRAM = []


def check(what, got, want):
    if got != want:
        raise AssertionError('%s: got %r, want %r' % (what, got, want))


class Server:
    """A running server. As a context: ended when it is left, and checked if nothing else was wrong."""

    def __init__(self, *args, address='127.0.0.1:0'):
        self.process = subprocess.Popen(WRAPPER + PROGRAM + [address, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        ready = select.select([self.process.stdout], [], [], LIMIT)[0]
        said = self.process.stdout.readline().decode() if ready else ''
        m = re.fullmatch(r'listening on (127\.0\.0\.1):(\d+)\n', said)
        if not m:
            self.process.kill()
            raise AssertionError('the server does not start: %r, %r' % (said, self.process.communicate()))
        self.address = (m.group(1), int(m.group(2)))

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def connect(self):
        s = socket.create_connection(self.address, timeout=LIMIT)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def end(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        self.check_end()

    def check_end(self):
        try:
            out, err = self.process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError('the server does not end') from None
        check('its standard error', err, b'')
        check('its standard output', out, b'')
        check('its exit status', self.process.returncode, 0)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.returncode is not None:
            return
        if kind is None:
            self.end()
        else:
            self.process.kill()
            err = self.process.communicate()[1].decode(errors='replace')
            if err:
                print('\n'.join('# the server said: ' + line for line in err.splitlines()))


def read_exactly(s, n):
    parts = []
    while n > 0:
        data = s.recv(min(n, 1 << 16))
        if not data:
            raise AssertionError('the end comes %d bytes too early, after %r' % (n, b''.join(parts)[-200:]))
        parts.append(data)
        n -= len(data)
    return b''.join(parts)


def read_all(s):
    parts = []
    while True:
        data = s.recv(1 << 16)
        if not data:
            return b''.join(parts)
        parts.append(data)


def ends(s):
    """The connection ends, in whatever way, whatever still comes before."""
    try:
        read_all(s)
    except ConnectionError:
        pass


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()


@contextlib.contextmanager
def connections(server, n):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(server.connect()) for _ in range(n)]


def run_badly(*args):
    r = subprocess.run(WRAPPER + PROGRAM + list(args), stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
    return r.returncode, r.stdout, r.stderr.decode()


# --- all of them ---

def test_all_starts_and_ends():
    with Server():
        pass


def test_all_ends_on_sigint():
    with Server() as server:
        server.end(signal.SIGINT)


def test_all_an_address_in_use():
    with Server() as server:
        status, out, err = run_badly('%s:%d' % server.address)
        check('exit status and output', (status, out), (1, b''))
        if 'address already in use' not in err:
            raise AssertionError('no reason given: %r' % err)


def test_all_nonsense_as_address():
    for address in ('nonsense', '127.0.0.1:70000', '127.0.0.1', 'no.such.name.invalid:80'):
        status, out, err = run_badly(address)
        check('exit status and output for ' + address, (status, out), (1, b''))
        if address not in err:
            raise AssertionError('no reason given: %r' % err)
    check('exit status of a wrong call', run_badly('127.0.0.1:0', '1', '2')[0], 2)


def test_all_silent_connections_do_not_keep_it():
    with Server() as server, connections(server, 200) as all:
        server.end()
        for s in all:
            ends(s)


def test_all_resets_and_broken_ends():
    with Server() as server:
        for n in range(60):
            s = server.connect()
            if n % 3:
                s.sendall(b'GET / HT' * n)
            if n % 2:
                reset(s)
            else:
                s.close()
        with connections(server, 20) as all:  # in the midst of it, with a signal
            for s in all:
                s.sendall(b'x')
            for s in all[:10]:
                reset(s)
            server.end()


# --- echo ---

def test_echo_says_what_it_is_told():
    with Server() as server, server.connect() as s:
        for message in (b'hello\n', b'\0', b'\r\n', bytes(range(256)), b'x' * 8192, b'y' * 8193):
            s.sendall(message)
            check('echo', read_exactly(s, len(message)), message)
        s.shutdown(socket.SHUT_WR)
        check('after the end', read_all(s), b'')


def test_echo_nothing_said():
    with Server() as server, server.connect() as s:
        s.shutdown(socket.SHUT_WR)
        check('echo', read_all(s), b'')


def test_echo_megabytes_both_ways_and_half_closed():
    data = random.Random(1).randbytes(4 << 20)

    def send(s):
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)

    with Server() as server, connections(server, 3) as all:
        senders = [threading.Thread(target=send, args=(s,)) for s in all]
        for t in senders:
            t.start()
        for s in all:
            if read_all(s) != data:
                raise AssertionError('not what was sent')
        for t in senders:
            t.join()


def test_echo_200_connections():
    with Server() as server, connections(server, 200) as all:
        for turn in range(3):
            for n, s in enumerate(all):
                s.sendall(b'%d/%d' % (n, turn))
            for n, s in reversed(list(enumerate(all))):
                want = b'%d/%d' % (n, turn)
                check('echo', read_exactly(s, len(want)), want)
        for s in all:
            s.shutdown(socket.SHUT_WR)
        for s in all:
            check('after the end', read_all(s), b'')


def test_echo_a_client_that_does_not_read():
    with Server() as server, connections(server, 2) as (deaf, s):
        deaf.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(1000):
                deaf.send(b'z' * 65536)
        s.sendall(b'and I?')
        check('echo', read_exactly(s, 6), b'and I?')


def test_echo_a_moment_after_the_signal():
    with Server() as server, server.connect() as s:
        s.sendall(b'before')
        check('echo', read_exactly(s, 6), b'before')
        signalled = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        while True:  # the port is closed soon
            try:
                server.connect().close()
            except ConnectionRefusedError:
                break
            except OSError:  # it came too late to be accepted
                pass
            if time.monotonic() - signalled > LIMIT:
                raise AssertionError('it still listens')
            time.sleep(0.01)
        try:
            s.sendall(b'after')
            check('echo', read_exactly(s, 5), b'after')
            s.shutdown(socket.SHUT_WR)
        except (AssertionError, OSError):
            if time.monotonic() - signalled < 0.9:  # else the moment was over
                raise
        ends(s)
        server.check_end()


# --- proxy ---

@contextlib.contextmanager
def target(serve):
    """A server of our own, for a proxy: serve(connection) in a thread each. Its address."""
    with socket.create_server(('127.0.0.1', 0), backlog=300) as listener:
        def accept_all():
            with contextlib.suppress(OSError):
                while True:
                    s = listener.accept()[0]
                    s.settimeout(LIMIT)
                    threading.Thread(target=serve, args=(s,), daemon=True).start()

        threading.Thread(target=accept_all, daemon=True).start()
        yield '127.0.0.1:%d' % listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def echo(s):
    with s, contextlib.suppress(OSError):
        while True:
            data = s.recv(1 << 16)
            if not data:
                break
            s.sendall(data)


def test_proxy_megabytes_both_ways_and_half_closed():
    data = random.Random(1).randbytes(4 << 20)

    def send(s):
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)

    with target(echo) as address, Server(address) as server, connections(server, 3) as all:
        senders = [threading.Thread(target=send, args=(s,)) for s in all]
        for t in senders:
            t.start()
        for s in all:
            if read_all(s) != data:
                raise AssertionError('not what was sent')
        for t in senders:
            t.join()


def test_proxy_the_answer_comes_after_the_question_has_ended():
    def answer(s):
        with s:
            s.sendall(b'%d bytes' % len(read_all(s)))

    with target(answer) as address, Server(address) as server, server.connect() as s:
        s.sendall(b'x' * 300000)
        s.shutdown(socket.SHUT_WR)
        check('the answer', read_all(s), b'300000 bytes')


def test_proxy_nobody_at_the_target():
    with target(echo) as address:
        pass
    with Server(address) as server, server.connect() as s:
        ends(s)


def test_proxy_a_break_is_passed_on():
    broken = threading.Event()

    def watch(s):
        with s:
            ends(s)
            broken.set()

    with target(watch) as address, Server(address) as server:
        s = server.connect()
        s.sendall(b'x' * 100000)
        reset(s)
        if not broken.wait(LIMIT):
            raise AssertionError('the target has not heard of it')


def test_proxy_100_connections():
    with target(echo) as address, Server(address) as server, connections(server, 100) as all:
        for n, s in enumerate(all):
            s.sendall(b'%d' % n)
        for n, s in enumerate(all):
            check('echo', read_exactly(s, len(b'%d' % n)), b'%d' % n)


# --- chat ---

class Client:
    def __init__(self, server, name=None, small=False):
        self.s = socket.socket()
        self.s.settimeout(LIMIT)
        if small:  # the kernel keeps little for it, on both sides
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.s.connect(server.address)
        self.name = '%s:%d' % self.s.getsockname()
        self.lines = self.s.makefile('rb')
        self.hears('* you are %s; /name NAME changes that' % self.name, '* %s has come' % self.name)
        if name:
            self.says('/name ' + name)
            self.hears('* %s is now %s' % (self.name, name))
            self.name = name

    def says(self, text, end='\r\n'):
        self.s.sendall((text + end).encode())

    def hears(self, *lines):
        for want in lines:
            check('line', self.lines.readline(), want.encode() + b'\r\n')

    def hears_the_end(self):
        check('the end', self.lines.readline(), b'')

    def leaves(self):
        self.lines.close()
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leaves()


def test_chat_come_talk_and_leave():
    with Server() as server, Client(server, 'ann') as ann:
        bob = Client(server)
        ann.hears('* %s has come' % bob.name)
        bob.says('/name bob')
        for c in (ann, bob):
            c.hears('* %s is now bob' % bob.name)
        ann.says('hello')
        bob.says('hello, ann', end='\n')
        for c in (ann, bob):
            said = sorted(c.lines.readline() for _ in range(2))  # they spoke at once
            check('lines', said, [b'ann: hello\r\n', b'bob: hello, ann\r\n'])
        bob.leaves()
        ann.hears('* bob has left')
        ann.says('alone now')
        ann.hears('ann: alone now')


def test_chat_who_ends_its_input_reads_all_of_it():
    with Server() as server, Client(server, 'ann') as ann, Client(server, 'bob') as bob:
        ann.hears('* %s has come' % '%s:%d' % bob.s.getsockname(), '* %s:%d is now bob' % bob.s.getsockname())
        bob.s.sendall(b'one\ntwo\r\nthree')
        bob.s.shutdown(socket.SHUT_WR)
        for c in (ann, bob):
            c.hears('bob: one', 'bob: two', 'bob: three')
        bob.hears_the_end()
        ann.hears('* bob has left')


def test_chat_lines():
    with Server() as server, Client(server, 'ann') as ann:
        ann.says('\r\n\r\n\0', end='\n')  # empty lines are nobody's
        ann.says('a\033[2Jb\x07\tc\rd\x7f')
        ann.hears('ann: a[2Jbcd')
        ann.says('gr\u00fc\u00df \U0001f9f6')
        ann.hears('ann: gr\u00fc\u00df \U0001f9f6')
        ann.says('y' * 400)
        ann.hears('ann: ' + 'y' * 400)
        ann.says('y' * 401)
        ann.hears('* that was too long: a line has at most 400 bytes')
        ann.says('z' * 100000)
        ann.hears('* that was too long: a line has at most 400 bytes')
        for part in ('in', ' ', 'pie', 'ces\r', '\n'):
            ann.s.sendall(part.encode())
            time.sleep(0.01)
        ann.hears('ann: in pieces')


def test_chat_names():
    with Server() as server, Client(server) as ann:
        for name in ('', 'two words', 'x' * 21, 'a:b', '*', '\u00fc'):
            ann.says('/name ' + name)
            ann.hears('* a name has 1 to 20 letters, digits, - or _')
        ann.says('/name ' + 'x' * 20)
        ann.hears('* %s is now %s' % (ann.name, 'x' * 20))
        ann.says('/name')
        ann.hears('x' * 20 + ': /name')


def test_chat_garbage():
    with Server() as server, Client(server, 'ann') as ann:
        with server.connect() as s:
            s.sendall(random.Random(2).randbytes(20000) + b'\nlast words')
            s.shutdown(socket.SHUT_WR)
            ends(s)
        while not (line := ann.lines.readline()).endswith(b' has left\r\n'):
            check('line', line[-2:], b'\r\n')
        ann.says('still here')
        ann.hears('ann: still here')


def test_chat_nobody_looks_slow_who_is_not():
    """A client pours in a file; another one, which reads, and it itself, hear all of it."""
    with Server() as server, Client(server, 'ann') as ann, Client(server, 'bob') as bob:
        bob.s.sendall(b''.join(b'line %d\n' % n for n in range(300)))
        bob.s.shutdown(socket.SHUT_WR)
        ann.lines.readline()
        ann.lines.readline()
        for c in (ann, bob):
            c.hears(*['bob: line %d' % n for n in range(300)])
        ann.hears('* bob has left')
        bob.hears_the_end()


def test_chat_a_slow_client_is_dismissed_and_nobody_waits_for_it():
    """Many talk until what the kernel keeps for the one that does not read is full, too."""
    def talk(c):
        with contextlib.suppress(OSError):
            while True:
                c.says('x' * 400)

    def listen(c):
        with contextlib.suppress(OSError):
            ends(c.s)

    with Server() as server, Client(server, 'ann') as ann, contextlib.ExitStack() as stack:
        talkers = [stack.enter_context(Client(server)) for _ in range(5)]
        for c in talkers:
            ann.hears('* %s has come' % c.name)
        deaf = stack.enter_context(Client(server, small=True))
        ann.hears('* %s has come' % deaf.name)
        threads = [threading.Thread(target=f, args=(c,)) for c in talkers for f in (talk, listen)]
        for t in threads:
            t.start()
        expected = {b'%s: %s\r\n' % (c.name.encode(), b'x' * 400) for c in talkers}
        until = time.monotonic() + LIMIT
        while (line := ann.lines.readline()) in expected and time.monotonic() < until:
            pass
        for c in talkers:
            with contextlib.suppress(OSError):
                c.s.shutdown(socket.SHUT_RDWR)
        for t in threads:
            t.join()
        check('the first to leave', line, b'* %s has left\r\n' % deaf.name.encode())


def test_chat_100_clients():
    with Server() as server, contextlib.ExitStack() as stack:
        clients = []
        for n in range(100):
            c = stack.enter_context(Client(server))
            for other in clients:
                other.hears('* %s has come' % c.name)
            clients.append(c)
        for n, speaker in enumerate(clients[:5]):
            speaker.says('I am number %d' % n)
            for c in clients:
                c.hears('%s: I am number %d' % (speaker.name, n))


def test_chat_the_end_is_announced():
    with Server() as server, Client(server, 'ann') as ann, Client(server) as bob:
        ann.hears('* %s has come' % bob.name)
        server.process.send_signal(signal.SIGTERM)
        for c in (ann, bob):
            c.hears('* the server ends')
        ends(ann.s)
        ends(bob.s)
        server.check_end()


# --- http ---

DATE = re.compile(rb'^Date: ([^\r\n]*)\r\n', re.M)
HOST = b'Host: x\r\n'
GET = b'GET / HTTP/1.1\r\n' + HOST
NEXT = b'GET /next HTTP/1.1\r\n' + HOST + b'\r\n'  # is only answered if the connection goes on
CLOSE = b'Connection: close\r\n'


def response(status=200, more=b'', body=True):
    reason = {200: b'OK', 400: b'Bad Request', 405: b'Method Not Allowed', 408: b'Request Timeout', 413: b'Content Too Large',
              417: b'Expectation Failed', 431: b'Request Header Fields Too Large', 501: b'Not Implemented',
              505: b'HTTP Version Not Supported'}[status]
    text = b'Hello, world!\n' if status == 200 else reason + b'\n'
    return b'HTTP/1.1 %d %s\r\nDate: now\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n%s' % (
        status, reason, len(text), more, text if body else b'')


def without_dates(replies):
    """Each reply has a date, and it is about now."""
    for m in DATE.finditer(replies):
        said = email.utils.parsedate_to_datetime(m.group(1).decode()).timestamp()
        check('the form of a date', m.group(1).decode(), email.utils.formatdate(said, usegmt=True))
        if abs(said - time.time()) > LIMIT:
            raise AssertionError('a wrong date: %r' % m.group(1))
    return DATE.sub(b'Date: now\r\n', replies)


def ask(server, request):
    with server.connect() as s:
        s.sendall(request)
        s.shutdown(socket.SHUT_WR)
        return without_dates(read_all(s))


OK = response()
ALLOW = b'Allow: GET, HEAD\r\n'


def bad(status=400):
    return response(status, CLOSE)


# What, the request, the reply. Each is followed by NEXT.
REQUESTS = [
    ('a plain request', GET + b'\r\n', OK + OK),
    ('HEAD', b'HEAD / HTTP/1.1\r\n' + HOST + b'\r\n', response(body=False) + OK),
    ('any target', b'GET /a/b?c=%20&d HTTP/1.1\r\n' + HOST + b'\r\n', OK + OK),
    ('a target with a host', b'GET http://x/ HTTP/1.1\r\n' + HOST + b'\r\n', OK + OK),
    ('other headers', GET + b'A:b\r\nx-y: \t z \xff \t\r\nEmpty:\r\n\r\n', OK + OK),
    ('empty lines before', b'\r\n\r\n' + GET + b'\r\n', OK + OK),
    ('ten at once', (GET + b'\r\n') * 10, OK * 11),
    ('close', GET + b'Connection: close\r\n\r\n', response(200, CLOSE)),
    ('close in a list', GET + b'Connection: foo ,\tCLOSE, bar\r\n\r\n', response(200, CLOSE)),
    ('close in a second list', GET + b'Connection: keep-alive\r\nCONNECTION: close\r\n\r\n', response(200, CLOSE)),
    ('something like close', GET + b'Connection: closed, xclose, close-not\r\n\r\n', OK + OK),
    ('HTTP/1.0', b'GET / HTTP/1.0\r\n\r\n', response(200, CLOSE)),
    ('HTTP/1.0, keep-alive', b'GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n', response(200, b'Connection: keep-alive\r\n') + OK),
    ('HTTP/1.0, keep-alive and close', b'GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n', response(200, CLOSE)),
    ('HTTP/1.9 is read as 1.1', b'GET / HTTP/1.9\r\n' + HOST + b'\r\n', OK + OK),
    ('HTTP/2.0', b'GET / HTTP/2.0\r\n' + HOST + b'\r\n', bad(505)),
    ('the start of HTTP/2', b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', bad(505)),
    ('a body', GET + b'Content-Length: 5\r\n\r\nabcde', OK + OK),
    ('a body that looks like a request', GET + b'Content-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n', OK + OK),
    ('a large body', GET + b'Content-Length: 1048576\r\n\r\n' + b'x' * 1048576, OK + OK),
    ('an empty body', GET + b'Content-Length: 0\r\n\r\n', OK + OK),
    ('a body too large', GET + b'Content-Length: 1048577\r\n\r\n' + b'x' * 1048577, bad(413)),
    ('a length out of all numbers', GET + b'Content-Length: 99999999999999999999999\r\n\r\n', bad(413)),
    ('POST', b'POST / HTTP/1.1\r\n' + HOST + b'Content-Length: 3\r\n\r\na=b', response(405, ALLOW) + OK),
    ('DELETE', b'DELETE / HTTP/1.1\r\n' + HOST + b'\r\n', response(405, ALLOW) + OK),
    ('a method of small letters', b'get / HTTP/1.1\r\n' + HOST + b'\r\n', response(405, ALLOW) + OK),
    ('POST, and close', b'POST / HTTP/1.1\r\n' + HOST + b'Connection: close\r\n\r\n', response(405, ALLOW + CLOSE)),
    ('leave to send a body', GET + b'Content-Length: 5\r\nExpect: 100-continue\r\n\r\n', bad(417)),
    ('two lengths', GET + b'Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde', bad()),
    ('a length of two', GET + b'Content-Length: 5, 5\r\n\r\nabcde', bad()),
    ('a length with a sign', GET + b'Content-Length: +5\r\n\r\nabcde', bad()),
    ('a negative length', GET + b'Content-Length: -5\r\n\r\nabcde', bad()),
    ('a length in hex', GET + b'Content-Length: 0x5\r\n\r\nabcde', bad()),
    ('no length', GET + b'Content-Length:\r\n\r\n', bad()),
    ('a chunked body', GET + b'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n', bad(501)),
    ('chunked, and a length', GET + b'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', bad()),
    ('chunked, written oddly', GET + b'tRANSFER-eNCODING:\tx,chunked\r\n\r\n', bad(501)),
    ('chunked in HTTP/1.0', b'GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n', bad()),
    ('no host', b'GET / HTTP/1.1\r\n\r\n', bad()),
    ('two hosts', GET + HOST + b'\r\n', bad()),
    ('a bare CR in a value', GET + b'A: b\rc\r\n\r\n', bad()),
    ('a bare CR before a line end', GET + b'A: b\r\r\n\r\n', bad()),
    ('a bare CR in the first line', b'GET /\r HTTP/1.1\r\n' + HOST + b'\r\n', bad()),
    ('a bare LF', b'GET / HTTP/1.1\nHost: x\n\n', bad()),
    ('a bare LF at the end', GET + b'\n', bad()),
    ('a zero', GET + b'A: b\0c\r\n\r\n', bad()),
    ('a control character', GET + b'A: b\x01c\r\n\r\n', bad()),
    ('a space before the colon', GET + b'Content-Length : 5\r\n\r\nabcde', bad()),
    ('a line that continues another', GET + b'A: b\r\n c\r\n\r\n', bad()),
    ('a space before the first header', b'GET / HTTP/1.1\r\n Host: x\r\n\r\n', bad()),
    ('no colon', GET + b'A\r\n\r\n', bad()),
    ('no name', GET + b': b\r\n\r\n', bad()),
    ('a name that is none', GET + b'A(b): c\r\n\r\n', bad()),
    ('two spaces', b'GET  / HTTP/1.1\r\n' + HOST + b'\r\n', bad()),
    ('a space in the target', b'GET /a b HTTP/1.1\r\n' + HOST + b'\r\n', bad()),
    ('a space after the version', b'GET / HTTP/1.1 \r\n' + HOST + b'\r\n', bad()),
    ('a space before the method', b' GET / HTTP/1.1\r\n' + HOST + b'\r\n', bad()),
    ('a tab for a space', b'GET\t/\tHTTP/1.1\r\n' + HOST + b'\r\n', bad()),
    ('no version', b'GET /\r\n' + HOST + b'\r\n', bad()),
    ('a version that is none', b'GET / HTTP/1.\r\n' + HOST + b'\r\n', bad()),
    ('another protocol', b'GET / HTTPS/1.1\r\n' + HOST + b'\r\n', bad()),
    ('bytes beyond ASCII in the target', b'GET /\xff HTTP/1.1\r\n' + HOST + b'\r\n', bad()),
    ('TLS', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', bad()),
    ('an SSH client', b'SSH-2.0-OpenSSH_9.2\r\n\r\n', bad()),
    ('a head of 8,192 bytes', GET + b'A: ' + b'x' * (8192 - len(GET) - 7) + b'\r\n\r\n', OK + OK),
    ('a head of 8,193 bytes', GET + b'A: ' + b'x' * (8193 - len(GET) - 7) + b'\r\n\r\n', bad(431)),
    ('a line without end', b'GET /' + b'x' * 200000, bad(431)),
]


def test_http_requests():
    with Server() as server:
        wrong = []
        for what, request, want in REQUESTS:
            got = ask(server, request + NEXT)
            if got != want:
                wrong.append('%s: got %r, want %r' % (what, got, want))
        if wrong:
            raise AssertionError('\n'.join(wrong))


def test_http_byte_by_byte():
    request = GET + b'Content-Length: 3\r\n\r\nabc' + b'\r\n' + GET + CLOSE + b'\r\n'
    with Server() as server, server.connect() as s:
        for n in range(len(request)):
            s.sendall(request[n:n + 1])
            time.sleep(0.001)
        check('replies', without_dates(read_all(s)), OK + response(200, CLOSE))


def test_http_the_last_byte_late():
    head = GET + b'A: ' + b'x' * (8192 - len(GET) - 7) + b'\r\n\r\n'
    with Server() as server, server.connect() as s:
        s.sendall(head[:-1])
        time.sleep(0.05)
        s.sendall(head[-1:])
        s.shutdown(socket.SHUT_WR)
        check('reply', without_dates(read_all(s)), OK)


def test_http_one_after_another():
    with Server() as server, server.connect() as s:
        for _ in range(100):
            s.sendall(GET + b'\r\n')
            m = b''
            while not m.endswith(b'world!\n'):
                m += s.recv(4096)
            check('reply', without_dates(m), OK)


def test_http_half_a_request():
    with Server() as server:
        for n in range(len(GET + b'\r\n')):
            check('reply to %d bytes' % n, ask(server, GET[:n]), b'')
        check('reply to half a body', ask(server, GET + b'Content-Length: 5\r\n\r\nab'), b'')


def test_http_garbage():
    r = random.Random(3)
    with Server() as server:
        for _ in range(100):
            with server.connect() as s:
                with contextlib.suppress(ConnectionError):
                    s.sendall(r.randbytes(r.randrange(1, 20000)))
                    s.shutdown(socket.SHUT_WR)
                ends(s)
        check('reply', ask(server, GET + b'\r\n'), OK)


def test_http_a_pipeline_that_is_not_read():
    """The client asks and asks, and does not read until it has asked all of it."""
    asked = 20000
    with Server() as server, server.connect() as s:
        sender = threading.Thread(target=lambda: (s.sendall((GET + b'\r\n') * asked), s.shutdown(socket.SHUT_WR)))
        sender.start()
        time.sleep(0.2)
        check('replies', without_dates(read_all(s)) == OK * asked, True)
        sender.join()


def test_http_200_connections():
    with Server() as server, connections(server, 200) as all:
        for _ in range(3):
            for s in all:
                s.sendall(GET + b'\r\n')
            length = len(OK) - len(b'now') + 29
            for s in all:
                check('reply', without_dates(read_exactly(s, length)), OK)


def test_http_slow_clients_are_closed():
    with Server('1') as server, connections(server, 2) as (half, body), contextlib.ExitStack() as stack:
        start = time.monotonic()  # its clock begins when it is connected
        silent = stack.enter_context(server.connect())
        half.sendall(GET)
        body.sendall(GET + b'Content-Length: 3\r\n\r\na')
        check('a silent client reads', read_all(silent), b'')
        if time.monotonic() - start < 0.9:
            raise AssertionError('after %.2f s' % (time.monotonic() - start))
        check('who sent half a request reads', without_dates(read_all(half)), bad(408))
        check('who sent half a body reads', read_all(body), b'')
        for s in (silent, half, body):
            s.close()
        with server.connect() as s:  # a byte now and then does not help
            with contextlib.suppress(ConnectionError):
                for n in range(200):
                    s.sendall(b'G')
                    if select.select([s], [], [], 0.1)[0]:
                        break
                else:
                    raise AssertionError('as slow as it likes')
            ends(s)


# ---

# --- keys and values ---

def kv(s, request, want):
    s.sendall(request + b'\n')
    check('the reply to %r' % request[:100], read_exactly(s, len(want) + 2), want + b'\r\n')


def test_kv_sets_and_gets():
    with Server() as server, connections(server, 2) as (a, b):
        kv(a, b'GET x', b'NONE')
        kv(a, b'SET x 1 and 2', b'OK')
        kv(b, b'GET x\r', b'VALUE 1 and 2')
        kv(b, b'SET x ' + b'y' * 3000, b'OK')
        kv(a, b'GET x', b'VALUE ' + b'y' * 3000)
        kv(a, b'SET empty ', b'OK')
        kv(b, b'GET empty', b'VALUE ')
        kv(b, b'LEN', b'2')
        kv(b, b'DEL x', b'OK')
        kv(a, b'DEL x', b'NONE')
        kv(a, b'LEN', b'1')
        for wrong in (b'', b'SET', b'SET x', b'GET', b'get x', b'PUT x 1', b' '):
            a.sendall(wrong + b'\n')
            check('the reply to %r' % wrong, read_exactly(a, 6), b'ERROR ')
            while read_exactly(a, 1) != b'\n':
                pass
        kv(a, b'QUIT', b'BYE')
        check('after BYE', read_all(a), b'')
        kv(b, b'LEN', b'1')


def test_kv_many_requests_at_once_and_in_pieces():
    requests = b''.join(b'SET k%d v%d\nGET k%d\n' % (n, n, n) for n in range(500))
    replies = b''.join(b'OK\r\nVALUE v%d\r\n' % n for n in range(500))
    with Server() as server, connections(server, 2) as (a, b):
        a.sendall(requests)
        check('the replies', read_exactly(a, len(replies)), replies)
        for n in range(0, 2000, 7):
            b.sendall(requests[n:n + 7])
        b.sendall(requests[2002:] + b'LEN\n')
        check('the replies', read_exactly(b, len(replies) + 5), replies + b'500\r\n')


def test_kv_lines_of_limited_length():
    with Server() as server, connections(server, 2) as (a, b):
        kv(a, b'SET k ' + b'v' * (4000 - 6), b'OK')
        b.sendall(b'SET k ' + b'v' * 4002)
        check('the reply', read_exactly(b, 6), b'ERROR ')
        ends(b)
        kv(a, b'LEN', b'1')


def test_kv_half_closed():
    with Server() as server, server.connect() as s:
        s.sendall(b'SET a 1\nGET a\nGET a')  # the last line has no end
        s.shutdown(socket.SHUT_WR)
        check('all replies', read_all(s), b'OK\r\nVALUE 1\r\nVALUE 1\r\n')


def test_kv_too_late():
    with Server('--idle', '2') as server, server.connect() as s:  # long enough for us to come to the next line
        kv(s, b'SET a 1', b'OK')
        s.sendall(b'GET')  # and no more
        check('the end', read_all(s), b'ERROR too late\r\n')
    with Server('--life', '0.5') as server, server.connect() as s:
        s.settimeout(0.01)
        text = b''
        while b'ERROR' not in text:
            with contextlib.suppress(TimeoutError, ConnectionError):
                s.sendall(b'LEN\n')
            with contextlib.suppress(TimeoutError):
                data = s.recv(1000)
                if not data:
                    raise AssertionError('an end without a word, after %r' % text[-100:])
                text += data
        check('the last words', text[text.index(b'ERROR'):].split(b'\r\n')[0], b'ERROR too late')


def test_kv_200_clients():
    with Server() as server, connections(server, 200) as all:
        for n, s in enumerate(all):
            s.sendall(b'SET k%d %d\n' % (n % 20, n))
        for s in all:
            check('the reply', read_exactly(s, 4), b'OK\r\n')
        kv(all[7], b'LEN', b'20')
        for n, s in enumerate(all):
            s.sendall(b'GET k%d\n' % (n % 20))
        for n, s in enumerate(all):
            check('the reply', read_exactly(s, 6), b'VALUE ')
            value = b''
            while not value.endswith(b'\r\n'):
                value += read_exactly(s, 1)
            check('whose value', int(value) % 20, n % 20)


def test_kv_says_bye():
    with Server() as server, connections(server, 50) as all:
        for s in all:
            kv(s, b'SET a 1', b'OK')
        server.end()
        for s in all:
            check('the end', read_all(s), b'BYE\r\n')


def main(argv):
    kind, program, only = argv[0], argv[1], argv[2:]
    PROGRAM.append(program)
    tests = [(name[len('test_'):], f) for name, f in globals().items() if name.startswith(('test_all_', 'test_%s_' % kind))]
    tests = [t for t in tests if not only or t[0] in only]
    print('TAP version 13\n1..%d' % len(tests), flush=True)
    failed = 0
    for n, (name, f) in enumerate(tests, 1):
        name = name.split('_', 1)[1].replace('_', ' ')
        start = time.monotonic()
        try:
            f()
            print('ok %d %s' % (n, name))
        except Exception as e:
            failed += 1
            print('not ok %d %s' % (n, name))
            text = str(e) if isinstance(e, AssertionError) else traceback.format_exc()
            print('\n'.join('# ' + line[:2000] for line in text.splitlines()))
        print('# %.1f s' % (time.monotonic() - start), flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
