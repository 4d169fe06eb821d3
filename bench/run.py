#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the benchmarks of weft and, next to them, the same work in Go, Boost, Tokio, Erlang, OpenSSL, libuv, on bare epoll and in other queues.

One row of the list is one question: a program of bench/, pinned to one core for one worker and to two for two. With
--peers each peer's program does the same row in between, round by round, so that a slow minute of the machine hits all
of them alike; what counts is the ratio within one run. Where others use the machine too, the minimum says more than the
median: both are kept.

Programs:  build/bench/bench/bench_NAME (`./dev bench` builds them: a release build with -Dbench=true)
           The rows of the network are bench/net.py, which takes a server, weft's or a peer's, and pins it itself.
Peers:     bench/peers/..., built here into build/bench/peers; one that cannot be built is named and left out.
Results:   JSON lines: first an object that says where they come from ("machine"), then an answer a line. They are kept
           in bench/results/; --readme writes the tables of README.md and docs/performance.md from them.
"""
import argparse
import collections
import contextlib
import datetime
import glob
import json
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BENCH = os.path.join(ROOT, 'bench')
BEGIN, END = '<!-- figures:begin -->', '<!-- figures:end -->'

# Peers, in the order of the tables' columns, and their titles.
PEERS = {'go': 'Go', 'boost': 'Boost', 'tokio': 'Tokio', 'st': 'State Threads', 'uv': 'libuv', 'epoll': 'bare epoll', 'openssl': 'OpenSSL', 'erlang': 'Erlang', 'ck': 'concurrencykit',
         'moodycamel': 'moodycamel', 'crossbeam': 'crossbeam', 'nginx': 'nginx', 'mmsg': 'bare recvmmsg', 'plain': 'plain loop'}
SERVERS = ('go', 'tokio', 'uv', 'epoll')

# The programs of each table; those of none are in the first.
TABLES = ((), ('queue',), ('stream', 'admit'), ('iowait', 'flow', 'resolve', 'udp', 'copies', 'file', 'tls'), ('net',))

# A row's program, worker counts, what --only keeps of it, peers that answer it, rounds (0: as many as asked for; one if
# runs are short), and the seconds a run of the program may take.
Row = collections.namedtuple('Row', 'program workers only peers rounds limit', defaults=('', (), 0, 120))
ROWS = {
    'P0': Row('floor', (1, 2)),
    'P1': Row('switch', (1,), '', ('boost',)),
    'P2': Row('yield', (1,), '', ('go', 'boost', 'tokio')),
    'P3': Row('yield', (2,), '', ('go', 'boost', 'tokio')),
    'P4': Row('spawn', (1,), '', ('go', 'boost', 'tokio', 'st')),
    'P5': Row('join', (1, 2), '', ('go', 'boost', 'tokio', 'st')),
    'P6': Row('rendezvous', (1, 2), '', ('go', 'boost', 'tokio', 'st')),
    'P7': Row('buffered', (1, 2), '1x1', ('go', 'boost', 'tokio')),
    'P8': Row('buffered', (1, 2), '100x', ('go', 'boost', 'tokio')),
    'P9': Row('select', (1, 2), '', ('go',)),
    'P10': Row('mutex', (1, 2), '', ('go', 'boost', 'tokio', 'st')),
    'P11': Row('ring', (1, 2), '', ('go', 'tokio', 'erlang')),
    'P12': Row('skynet', (1, 2), '', ('go', 'tokio', 'erlang'), 0, 300),
    'P13': Row('timer', (1,), '', ('go', 'tokio'), 1, 300),
    'P14': Row('sleep', (1,), '', ('go', 'tokio')),
    'P15': Row('parked', (1,), '', ('go', 'tokio', 'erlang', 'st'), 1, 300),
    'P16': Row('forkjoin', (1, 2), '', ('go', 'tokio'), 0, 300),
    'P17': Row('queue', (1, 2), 'spsc', ('ck', 'moodycamel')),
    'P18': Row('queue', (1, 2), 'mpmc', ('ck', 'moodycamel', 'crossbeam')),
    'P19': Row('net', (1, 2), '', SERVERS, 5),
    'P20': Row('net', (1,), '', SERVERS + ('nginx',), 5),
    'P21': Row('net', (1,), '', SERVERS, 1),
    'P22': Row('actor', (1, 2), '', ('erlang',)),
    'P23': Row('stream', (1, 2), '', ('go', 'tokio', 'plain')),
    'P24': Row('wakeup', (2,), '', ('go', 'tokio'), 1, 300),
    'P25': Row('stages', (2,), '', ('go', 'tokio'), 1),
    'P26': Row('idle', (2,), '', ('go',), 1),
    'P27': Row('ctx', (1, 2), '', ('go',)),
    'P28': Row('sup', (1, 2), '', ('erlang',)),
    'P30': Row('sync', (1, 2), '', ('go', 'boost')),
    'P34': Row('group', (1, 2), 'children', ('go', 'boost')),
    'P35': Row('group', (1, 2), 'an index', ()),
    'P36': Row('future', (1, 2), '', ('go', 'boost')),
    'P38': Row('pool', (1, 2), '', ('go',)),
    'P40': Row('local', (1, 2)),
    'P41': Row('gen', (1, 2)),
    'P50': Row('net', (1,), '', SERVERS, 5),
    'P51': Row('net', (1,), '', SERVERS, 5),
    'P52': Row('iowait', (1, 2), '', ('go', 'uv')),
    'P53': Row('flow', (1, 2), '', ('go',)),
    'P54': Row('resolve', (1, 2), '', ('go',)),
    'P56': Row('udp', (1, 2), '', ('go', 'mmsg')),
    'P57': Row('copies', (1, 2), '', ('go',)),
    'P58': Row('file', (1, 2), '', ('go', 'plain')),
    'P60': Row('tls', (1, 2), '', ('go', 'openssl')),
    'P61': Row('trim', (1,), '', (), 1, 300),
    'P75': Row('admit', (1, 2), '', ('go',)),
    'P80': Row('steal', (2,), '', (), 1, 300),
}

# A goal that is so many times what the best of these peers has in the same run, with another variant if one is named.
Of = collections.namedtuple('Of', 'times peers variant', defaults=('',))

# (row, variant, workers): what weft wants to reach, in the unit of the answer
GOALS = {
    ('P1', 'one direction', 1): 1.2,
    ('P1', 'one direction, called', 1): 2.6,
    ('P2', 'yield, 2 tasks', 1): 5,
    ('P2', 'yield, 1000 tasks', 1): 6.5,
    ('P3', 'yield, 1000 tasks', 2): 6,
    ('P4', 'windows of 100, queued', 1): 19,
    ('P4', 'windows of 100, run at once', 1): 14,
    ('P5', 'spawn and join', 1): 32,
    ('P5', 'spawn and join', 2): 65,
    ('P6', 'round trip', 1): 30,
    ('P6', 'round trip', 2): 60,
    ('P7', 'capacity 128, 1x1', 1): 5,
    ('P7', 'capacity 128, 1x1', 2): 12,
    ('P7', 'SPSC mode, 128, 1x1', 1): 3.5,
    ('P7', 'SPSC mode, 128, 1x1', 2): 6,
    ('P8', 'capacity 128, 100x100', 1): 6,
    ('P8', 'capacity 128, 100x100', 2): 18,
    ('P9', '2 ready', 1): 10,
    ('P9', '8 ready', 1): 25,
    ('P9', '8 none ready, default', 1): 15,
    ('P9', '8 blocking', 1): 65,
    ('P9', '2 ready', 2): 25,
    ('P9', '8 ready', 2): 60,
    ('P9', '8 none ready, default', 2): 50,
    ('P9', '8 blocking', 2): 110,
    ('P10', 'lock and unlock, alone', 1): 3,
    ('P10', 'lock and unlock, alone', 2): 9.3,
    ('P10', '200 tasks contending', 2): 11,
    ('P11', 'hop, 1000 tasks', 1): 14,
    ('P11', 'hop, 1000 tasks', 2): 28,
    ('P12', 'skynet, 1000000 leaves', 1): Of(1, ('tokio',)),
    ('P12', 'skynet, 1000000 leaves', 2): Of(1, ('tokio',)),
    ('P12', 'skynet, 1000000 leaves, newest first', 1): 90,
    ('P12', 'skynet, 1000000 leaves, newest first', 2): 55,
    ('P13', 'create, up to 1000000 live', 1): 47,
    ('P13', 'stop, 1000000 live', 1): 8,
    ('P13', 'create and stop, 1000000 live', 1): 25,
    ('P14', '100 us, overshoot, median', 1): 30,
    ('P14', '100 us, overshoot, p99', 1): 150,
    ('P14', '1 ms, overshoot, median', 1): 35,
    ('P14', '1 ms, overshoot, p99', 1): 150,
    ('P14', '10 ms, overshoot, median', 1): 60,
    ('P14', '10 ms, overshoot, p99', 1): 150,
    ('P15', 'create, against the plain C loop', 1): 1.15,
    ('P15', 'create, warm', 1): 250,
    ('P15', 'wake and finish', 1): 140,
    ('P15', 'resident, each', 1): 4400,
    ('P16', 'fib(42), against plain C', 1): 1.02,
    ('P16', 'fib(42), speed-up', 2): 1.97,
    ('P17', 'spsc, in turn', 1): Of(1, ('ck', 'moodycamel')),
    ('P17', 'spsc, two threads', 2): Of(1, ('ck', 'moodycamel')),
    ('P18', 'mpmc, two threads', 2): 11,
    ('P19', 'echo, 50 connections, CPU a request', 1): 4.4,
    ('P19', 'echo, 50 connections, requests', 1): 228,
    ('P19', 'echo, 50 connections, system calls a request', 1): 2.03,
    ('P19', 'echo, 1000 connections, p99', 2): 11,
    ('P20', 'http, 100 connections, CPU a request', 1): Of(0.9, ('tokio', 'nginx')),
    ('P20', 'http, 100 connections, requests', 1): 175,
    ('P21', 'idle connection, resident', 1): Of(1, ('go',)),
    ('P21', 'idle connection, buffer when readable, resident', 1): Of(0.5, ('go',), 'idle connection, resident'),
    ('P22', 'spawn, windows of 100', 1): 35,
    ('P22', 'ping-pong, a message', 1): 45,
    ('P22', 'call of a server', 1): 90,
    ('P23', '3 stages', 1): 3,
    ('P23', '1 stage, expressions, against the plain loop', 1): 3,
    ('P23', '3 stages, expressions, against the plain loop', 1): 3,
    ('P23', '10 stages, expressions, against the plain loop', 1): 3,
    ('P23', '3 stages, steps, against the plain loop', 1): 3,
    ('P23', '10 stages, steps, against the plain loop', 1): 3,
    ('P24', 'go, p99', 2): 100,
    ('P24', 'wake, p99', 2): 100,
    ('P25', '4 stages of 1 us, capacity 16, speed-up', 2): 1.9,
    ('P26', 'idle, context switches a second', 2): 0,
    ('P28', 'restart, 100 a supervisor', 1): 1000,
    ('P28', 'restart, 1000 a supervisor', 1): 1000,
    ('P28', 'restart, 10000 a supervisor', 1): 1000,
    ('P28', 'restart, 10000 against 1000', 1): 1.1,
    ('P34', '100 children', 1): 100,
}
MORE_IS_BETTER = {'x', 'k/s', 'M/s', 'GB/s'}

# What `./dev demo` measures: the row, and what it keeps of it.
DEMO = [('P1', 'one direction'), ('P2', 'yield, 1000'), ('P4', 'windows of 100, queued'), ('P6', '')]

# What README.md shows: row, variant, workers, in words.
README = [
    ('P1', 'one direction', 1, 'bare switch, one direction'),
    ('P2', 'yield, 1000 tasks', 1, 'yield among 1,000 tasks'),
    ('P4', 'windows of 100, queued', 1, 'start, run and end a task, a hundred at a time'),
    ('P5', 'spawn and join', 1, 'start one task and join it'),
    ('P6', 'round trip', 1, 'round trip, unbuffered channels, 1 worker'),
    ('P6', 'round trip', 2, 'the same, 2 workers'),
    ('P7', 'capacity 128, 1x1', 1, 'message through a channel of 128, 1 worker'),
    ('P7', 'capacity 128, 1x1', 2, 'the same, 2 workers'),
    ('P8', 'capacity 128, 100x100', 2, 'the same, 100 senders, 100 receivers, 2 workers'),
    ('P9', '8 ready', 1, 'select, 8 channels ready'),
    ('P9', '8 blocking', 1, 'select, 8 channels, waiting'),
    ('P10', '200 tasks contending', 2, 'mutex, 200 tasks contending, 2 workers'),
    ('P11', 'hop, 1000 tasks', 1, 'a hop in a ring of 1,000 tasks'),
    ('P12', 'skynet, 1000000 leaves', 2, 'skynet, 1,000,000 leaves, 2 workers'),
    ('P13', 'create and stop, 1000000 live', 1, 'make and stop a timer, 1,000,000 live'),
    ('P14', '1 ms, overshoot, median', 1, 'how much too long a sleep of 1 ms is, median'),
    ('P15', 'create', 1, 'create one of 1,000,000 parked tasks'),
    ('P15', 'resident, each', 1, 'memory of one of them'),
    ('P23', '3 stages', 1, 'map, filter, fold: an element through a stream (Go: a goroutine a stage)'),
    ('P23', '3 stages, expressions', 1, 'the same, stages as expressions'),
    ('P24', 'wake, p99', 2, 'wake-up of a sleeping worker, p99'),
    ('P25', '4 stages of 1 us, capacity 16, speed-up', 2, 'pipeline of 1 us stages, 2 workers against 1'),
    ('P26', 'idle, context switches a second', 2, 'wake-ups of an idle process'),
    ('P27', 'cancel of 100,000 tasks, each', 2, 'cancel one of 100,000 waiting tasks, 2 workers'),
    ('P30', '200 tasks, 1 in 10 writes', 1, 'reader-writer lock, 200 tasks, 1 in 10 writes'),
    ('P30', 'condition, round trip', 1, 'condition, round trip'),
    ('P34', '100 children', 1, 'start and join a child of a group'),
    ('P36', 'a task gives it', 1, 'start a task and await its future'),
    ('P19', 'echo, 50 connections, CPU a request', 1, 'TCP echo, 64 bytes, 50 connections, 1 worker: CPU a request'),
    ('P19', 'echo, 50 connections, requests', 1, 'the same: requests'),
    ('P19', 'echo, 50 connections, system calls a request', 1, 'the same: system calls a request'),
    ('P19', 'echo, 1000 connections, p99', 2, 'TCP echo, 1,000 connections, 2 workers: p99'),
    ('P20', 'http, 100 connections, CPU a request', 1, 'HTTP hello, 100 connections, 1 worker: CPU a request'),
    ('P20', 'http, 100 connections, requests', 1, 'the same: requests'),
    ('P21', 'idle connection, resident', 1, 'memory of an idle connection'),
    ('P52', 'an own socket, round trip', 2, 'a byte there and back through a socket pair, 2 workers'),
    ('P53', 'a pipe', 2, 'a pipe between two tasks, 2 workers'),
    ('P54', 'a name of /etc/hosts', 1, 'the addresses of a name in /etc/hosts'),
    ('P56', 'echo', 1, 'a datagram of 64 bytes there and back'),
    ('P57', 'lines from memory', 1, 'lines'),
    ('P60', 'dial and full handshake', 1, 'TLS: dial and full handshake'),
    ('P60', '64 KiB through one stream', 2, 'TLS: 64 KiB through one stream, 2 workers'),
    ('P75', 'bulkhead of 10, 200 tasks', 2, 'through a bulkhead of 10, 200 tasks, 2 workers'),
]


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def output_of(*command):
    try:
        r = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
        return r.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ''


def is_net(row):
    return row in ROWS and ROWS[row].program == 'net'


def parts(answers):
    """The answers table by table: each has peers of its own."""
    def part(row):
        program = ROWS[row].program if row in ROWS else ''
        return next((i for i, programs in enumerate(TABLES) if program in programs), 0)
    split = [[a for a in answers if part(a['name']) == i] for i in range(len(TABLES))]
    return [p for p in split if p]


def commit():
    """The commit the tree is at, with a + if it differs from it."""
    head = output_of('git', 'rev-parse', '--short=12', 'HEAD')
    if not head:
        return 'none'
    return head + ('+' if output_of('git', 'status', '--porcelain', '--untracked-files=no') else '')


def machine(build):
    cpu = platform.processor()
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as f:
            found = re.search(r'^(?:model name|Model|CPU part)\s*:\s*(.*)$', f.read(), re.M)
            cpu = found.group(1) if found else cpu
    except OSError:
        pass
    compiler = 'unknown'
    try:
        with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as f:
            words = shlex.split(json.load(f)[0]['command'])
        cc = words[1] if words[0] == 'ccache' else words[0]
        compiler = (output_of(cc, '--version').splitlines() or [compiler])[0]
    except (OSError, LookupError, ValueError):
        pass
    return {'machine': {'cpu': cpu or platform.machine(), 'arch': platform.machine(),
                        'cores': len(os.sched_getaffinity(0)), 'kernel': platform.release(), 'compiler': compiler,
                        'commit': commit(), 'date': datetime.date.today().isoformat()}}


class Peers:
    """The peers that can be built here: name -> row -> command."""

    def __init__(self, build, wanted):
        self.dir = os.path.join(build, 'peers')
        self.missing = {}
        self.commands = {}
        os.makedirs(self.dir, exist_ok=True)
        for name in (p for p in PEERS if p in wanted):
            why = getattr(self, name)()
            if why:
                self.missing[name] = why
                say('%s: left out: %s' % (name, why))

    def build(self, out, sources, command, **more):
        """Runs command if out is older than a source. Returns '' or why it failed."""
        if os.path.exists(out) and all(os.path.getmtime(out) >= os.path.getmtime(s) for s in sources):
            return ''
        try:
            r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
        except OSError as e:
            return str(e)
        return '' if r.returncode == 0 else 'does not build:\n' + r.stdout

    def go(self):
        src = os.path.join(BENCH, 'peers', 'go')
        out = os.path.join(self.dir, 'go')
        if not shutil.which('go'):
            return 'no `go` here (Debian: golang-go)'
        env = dict(os.environ, GOFLAGS='-mod=mod', GO111MODULE='on', GOTOOLCHAIN='local', GOPROXY='off',
                   GOCACHE=os.path.join(self.dir, 'go-cache'))
        why = self.build(out, glob.glob(os.path.join(src, '*')), ['go', 'build', '-o', out, '.'], cwd=src, env=env)
        if not why:
            self.commands['go'] = lambda row: [out]
        return why

    def boost(self):
        src = os.path.join(BENCH, 'peers', 'boost')
        cxx = os.environ.get('CXX', 'g++')
        if not shutil.which(cxx):
            return 'no %s here' % cxx
        if not os.path.exists('/usr/include/boost/fiber/all.hpp'):
            return 'no boost.fiber here (Debian: libboost-fiber-dev libboost-context-dev)'
        why = ''
        for name in ('context', 'fiber'):
            out = os.path.join(self.dir, 'boost-' + name)
            why = why or self.build(out, glob.glob(os.path.join(src, '*')), [
                cxx, '-O2', '-o', out, os.path.join(src, name + '.cpp'),
                '-Wl,-Bstatic', '-lboost_fiber', '-lboost_context', '-Wl,-Bdynamic', '-lpthread'])
        if not why:
            self.commands['boost'] = lambda row: [
                os.path.join(self.dir, 'boost-context' if row == 'P1' else 'boost-fiber')]
        return why

    def cargo(self, name, crates, package):
        """A peer in Rust, of the sources that Debian packs; the first of the crates gives the version."""
        src = os.path.join(self.dir, name + '-src')
        target = os.path.join(self.dir, name)
        out = os.path.join(target, 'release', 'peers-' + name)
        registry = '/usr/share/cargo/registry'
        found = [glob.glob(os.path.join(registry, crate + '-[0-9]*')) for crate in crates]
        if not shutil.which('cargo') or not all(found):
            return 'no cargo, or no sources of %s here (Debian: cargo %s)' % (' and '.join(crates), package)
        # A copy, because cargo leaves its lock next to the sources.
        shutil.copytree(os.path.join(BENCH, 'peers', name), src, dirs_exist_ok=True)
        env = dict(os.environ, CARGO_HOME=os.path.join(self.dir, name + '-cargo'))
        env[name.upper() + '_VERSION'] = os.path.basename(max(found[0]))[len(crates[0]) + 1:]
        why = self.build(out, glob.glob(os.path.join(src, '**', '*.[rt]*'), recursive=True), [
            'cargo', 'build', '--release', '--offline', '--quiet', '--target-dir', target,
            '--config', 'source.crates-io.replace-with="debian"',
            '--config', 'source.debian.directory="%s"' % registry], cwd=src, env=env)
        if not why:
            self.commands[name] = lambda row: [out]
        return why

    def tokio(self):
        return self.cargo('tokio', ('tokio', 'futures-util'), 'librust-tokio-dev librust-futures-util-dev')

    def crossbeam(self):
        return self.cargo('crossbeam', ('crossbeam-queue',), 'librust-crossbeam-queue-dev')

    def st(self):
        return self.c('st', '-lst') if os.path.exists('/usr/include/st.h') else 'no State Threads here (Debian: libst-dev)'

    def erlang(self):
        if not shutil.which('erlc'):
            return 'no `erlc` here (Debian: erlang-base)'
        modules = {'P11': 'crowds', 'P12': 'crowds', 'P15': 'crowds', 'P22': 'actors', 'P28': 'sups'}
        why = None
        for module in sorted(set(modules.values())):
            src = os.path.join(BENCH, 'peers', 'erlang', module + '.erl')
            why = why or self.build(os.path.join(self.dir, module + '.beam'), [src], ['erlc', '-o', self.dir, src])
        if not why:
            self.commands['erlang'] = lambda row: ['erl', '+S', '2:2', '+P', '2000000', '-noshell', '-noinput', '-pa', self.dir, '-run', modules[row], 'main', '-extra']
        return why

    def c(self, name, *libs):
        src = os.path.join(BENCH, 'peers', 'c')
        out = os.path.join(self.dir, 'c-' + name)
        cc = os.environ.get('CC', 'cc')
        sources = glob.glob(os.path.join(src, '*')) + [os.path.join(BENCH, h) for h in ('elems.h', 'http.h', 'pour.h', 'filebench.h')]
        why = self.build(out, sources, shlex.split(cc) + ['-std=gnu11', '-D_GNU_SOURCE', '-O2', '-o', out,
                                                          os.path.join(src, name + '.c'), *libs, '-lpthread'])
        if not why:
            self.commands[name] = lambda row: [out]
        return why

    def uv(self):
        """Two programs: the servers, and the row of what waits for a descriptor."""
        why = self.c('uvpoll', '-luv') or self.c('uv', '-luv')
        poll, serve = self.commands.pop('uvpoll', None), self.commands.get('uv')
        if not why:
            self.commands['uv'] = lambda row: (serve if is_net(row) else poll)(row)
        return why

    def epoll(self):
        return self.c('epoll')

    def nginx(self):
        if not shutil.which('nginx', path=os.environ.get('PATH', '') + ':/usr/sbin'):
            return 'no nginx here (Debian: nginx-light)'
        self.commands['nginx'] = lambda row: [sys.executable, os.path.join(BENCH, 'peers', 'nginx', 'server.py')]
        return None

    def mmsg(self):
        return self.c('mmsg')

    def plain(self):
        """Two programs: the row of files, and the row of streams."""
        why = self.c('loop') or self.c('plain')
        loop, files = self.commands.pop('loop', None), self.commands.get('plain')
        if not why:
            self.commands['plain'] = lambda row: (loop if row == 'P23' else files)(row)
        return why

    def openssl(self):
        if not os.path.exists('/usr/include/openssl/ssl.h'):
            return 'no OpenSSL here (Debian: libssl-dev)'
        why = self.c('tls', '-lssl', '-lcrypto')
        if not why:
            self.commands['openssl'] = self.commands.pop('tls')
        return why

    def queue(self, name, compiler, header, package, *args):
        """A peer of P17 and P18: NAME.c or NAME.cpp of peers/queue."""
        source, = glob.glob(os.path.join(BENCH, 'peers', 'queue', name + '.c*'))
        out = os.path.join(self.dir, 'queue-' + name)
        if not os.path.exists(os.path.join('/usr/include', header)):
            return 'no %s here (Debian: %s)' % (header, package)
        version = output_of('dpkg-query', '-W', '-f=${Version}', package.split()[0]).partition('-')[0].partition('+')[0]
        why = self.build(out, glob.glob(os.path.join(os.path.dirname(source), '*')) + [os.path.join(BENCH, 'queue.h')], shlex.split(compiler) + [
            '-D_GNU_SOURCE', '-DPEER_VERSION="%s"' % version, '-O2', '-o', out, source, *args, '-lpthread'])
        if not why:
            self.commands[name] = lambda row: [out]
        return why

    def ck(self):
        return self.queue('ck', os.environ.get('CC', 'cc') + ' -std=gnu11', 'ck_ring.h', 'libck-dev', '-lck')

    def moodycamel(self):
        return self.queue('moodycamel', os.environ.get('CXX', 'g++'), 'readerwriterqueue/readerwriterqueue.h',
                          'libconcurrentqueue-dev libreaderwriterqueue-dev')

    def command(self, peer, row, workers, runs, quick, only, load):
        make = self.commands.get(peer)
        if not make or peer not in ROWS[row].peers:
            return None
        if is_net(row):
            return net(row, make(row), load, workers, quick, only) + ['--peer', peer]
        options = ['-workers', str(workers), '-runs', str(runs)]
        options += ['-quick'] if quick else []
        options += ['-only', only] if only else []
        return make(row) + options + [row]


def net(row, server, load, workers, quick, only):
    """A row of the network, for one server."""
    command = [sys.executable, os.path.join(BENCH, 'net.py'), row] + server
    command += ['--load', load, '--workers', str(workers)] + (['--quick'] if quick else [])
    return command + (['--only', only] if only else [])


class Runner:
    """Runs programs, pinned, and merges what their rounds answer."""

    def __init__(self, build, peers, quick):
        self.build, self.peers, self.quick = build, peers, quick
        self.failed = []
        self.env = dict(os.environ, WEFT_BENCH_COMMIT=commit())
        self.cpus = sorted(os.sched_getaffinity(0))

    def run(self, command, workers, limit):
        """The answers of one program, or [] after saying what went wrong. No workers: it pins what it starts itself."""
        cpus = self.cpus[:workers or None]
        try:
            r = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=self.env, timeout=limit,
                               preexec_fn=lambda: os.sched_setaffinity(0, cpus))
            why, said = 'exit status %d' % r.returncode if r.returncode else '', r.stdout
        except subprocess.TimeoutExpired as e:
            why, said = 'took longer than %d s' % limit, (e.stdout or b'').decode()
        except OSError as e:
            why, said = str(e), ''
        answers = []
        for line in said.splitlines(True):
            with contextlib.suppress(ValueError):
                answers += [json.loads(line)] if line.startswith('{') and line.endswith('}\n') else []
        if why:
            say('%s: %s' % (' '.join(os.path.relpath(c, ROOT) if os.path.isabs(c) else c for c in command), why))
            self.failed.append(command)
        return answers

    def program(self, name):
        return os.path.join(self.build, 'bench', 'bench_' + name)

    def row(self, name, only='', runs=0, rounds=0, workers=None):
        """All answers of one row: the variants in order, each peer's after weft's."""
        row = ROWS[name]
        only = only or row.only
        runs = runs or (3 if self.quick else 6 if self.peers else 5)
        own = min(row.rounds, 1) if self.quick else row.rounds
        rounds = own or rounds or (3 if self.peers and not self.quick else 1)
        merged = collections.OrderedDict()
        for workers in row.workers if workers is None else workers:
            if workers > len(self.cpus):
                say('%s with %d workers: left out: only %d cores' % (name, workers, len(self.cpus)))
                continue
            each = max(1, runs // rounds)
            load = self.program('load')
            if is_net(name):
                weft = net(name, [self.program('server')], load, workers, self.quick, only)
            else:
                weft = [self.program(row.program), '--workers', str(workers), '--runs', str(each)]
                weft += ['--quick'] if self.quick else []
                weft += ['--only', only] if only else []
            commands = [weft]
            if self.peers:
                commands += [self.peers.command(p, name, workers, each, self.quick, only, load) for p in row.peers]
            for _ in range(rounds):
                bad = len(self.failed)
                for command in filter(None, commands):
                    for a in self.run(command, 0 if is_net(name) else workers, row.limit):
                        if only in a['variant']:
                            merged.setdefault((a['name'], a['variant'], a['workers'], a.get('peer', '')), []).append(a)
                if len(self.failed) > bad:
                    break
        return [merge(parts) for parts in merged.values()]


def merge(parts):
    """One answer of several rounds': the median of their medians."""
    a = dict(parts[0])
    a['median'] = round(statistics.median(p['median'] for p in parts), 3)
    a['min'] = round(min(p['min'] for p in parts), 3)
    a['max'] = round(max(p['max'] for p in parts), 3)
    a['runs'] = sum(p['runs'] for p in parts)
    return a


def number(x):
    """Three digits."""
    if x is None:
        return '-'
    if x == 0:
        return '0'
    digits = 0 if abs(x) >= 100 else 1 if abs(x) >= 10 else 2
    return '{:,.{}f}'.format(x, digits)


def factor(weft, peer):
    """How many times better weft is: peer's figure by weft's (the reverse where more is better)."""
    if not weft or not peer or not peer['median'] or not weft['median']:
        return ''
    f = weft['median'] / peer['median'] if weft['unit'] in MORE_IS_BETTER else peer['median'] / weft['median']
    return '%.2fx' % f if f < 9.95 else '%.0fx' % f


def titles(answers):
    """The peers that have answered anything, in order, each with its title."""
    versions = {a['peer']: re.sub('^go', '', a['version']) for a in answers if 'peer' in a}
    return {p: ('%s %s' % (PEERS[p], versions[p])).strip() for p in PEERS if p in versions}


def goals_of(answers):
    """The goals of these answers, as numbers, by name, variant and workers. A goal that goes by peers is none where they have not run."""
    found = {}
    for key, goal in GOALS.items():
        if isinstance(goal, Of):
            where = key[0], goal.variant or key[1], key[2]
            peers = [a for a in answers if (a['name'], a['variant'], a['workers']) == where and a.get('peer') in goal.peers]
            best = max if peers and peers[0]['unit'] in MORE_IS_BETTER else min
            goal = goal.times * best(a['median'] for a in peers) if peers else None
        if goal is not None:
            found[key] = goal
    return found


def met(weft, goal):
    """Whether weft's answer reaches the goal: yes, no, or nothing where there is none."""
    if not weft or goal is None:
        return ''
    more = weft['unit'] in MORE_IS_BETTER
    return 'yes' if (weft['median'] >= goal if more else weft['median'] <= goal) else 'no'


def goals(answers, names=True):
    """A line that counts the goals that are met, and names the rest."""
    all_goals = goals_of(answers)
    asked = [(a, all_goals.get((a['name'], a['variant'], a['workers']))) for a in answers if 'peer' not in a]
    asked = [(a, goal) for a, goal in asked if goal is not None]
    missed = ['%s %s %dw (%s, goal %s)' % (a['name'], a['variant'], a['workers'], number(a['median']), number(goal))
              for a, goal in asked if met(a, goal) == 'no']
    return '%d of %d goals are met%s' % (len(asked) - len(missed), len(asked), '; not: ' + '; '.join(missed) if missed and names else '')


def table(answers, out):
    """Everything side by side: weft, each peer, how many times better than each, the goal."""
    for part in parts(answers):
        table_of(part, out)
    print(goals(answers), file=out, flush=True)


def table_of(answers, out):
    rows = collections.OrderedDict()
    for a in answers:
        rows.setdefault((a['name'], a['variant'], a['workers']), {})[a.get('peer', 'weft')] = a
    peers, all_goals = titles(answers), goals_of(answers)
    head = ['', 'work', 'w', 'unit', 'weft', 'min']
    for p in peers:
        head += [peers[p], 'min', 'ratio']
    lines = [head + ['goal', '']]
    for (name, variant, workers), r in rows.items():
        weft = r.get('weft')
        goal = all_goals.get((name, variant, workers))
        line = [name, variant, str(workers), next(iter(r.values()))['unit'], number(weft['median']) if weft else '-',
                number(weft['min']) if weft else '-']
        for p in peers:
            a = r.get(p)
            line += [number(a['median']) if a else '', number(a['min']) if a else '', factor(weft, a)]
        lines.append(line + [number(goal), met(weft, goal)])
    width = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        cells = [c.ljust(w) if i < 2 or i == 3 else c.rjust(w) for i, (c, w) in enumerate(zip(line, width))]
        print('  '.join(cells).rstrip(), file=out, flush=True)


def load(path):
    """(machine, answers) of a results file."""
    where, answers = {}, []
    with open(path, encoding='utf-8') as f:
        for line in f:
            if line.strip():
                d = json.loads(line)
                if 'machine' in d:
                    where = d['machine']
                else:
                    answers.append(d)
    return where, answers


def readme(path):
    """Writes the tables of README.md and docs/performance.md between their markers from a results file."""
    if not path:
        files = glob.glob(os.path.join(BENCH, 'results', '*.json'))
        if not files:
            say('no results in bench/results: ./dev bench --peers --json bench/results/NAME.json makes some')
            return 1
        path = max(files, key=lambda p: (load(p)[0].get('date', ''), p))
    where, answers = load(path)
    by = {(a['name'], a['variant'], a['workers'], a.get('peer', 'weft')): a for a in answers}
    lines = [BEGIN]
    for part in parts(answers):
        here = {(a['name'], a['variant'], a['workers']) for a in part if 'peer' not in a}
        shown = [r for r in README if r[:3] in here]
        if not shown:
            continue
        peers = titles([a for a in part if (a['name'], a['variant'], a['workers']) in {r[:3] for r in shown}])
        lines += [''] if lines[1:] else []
        lines += ['| | ' + ' | '.join(['unit', 'weft'] + list(peers.values())) + ' |',
                  '|---|---|--:|%s' % ('--:|' * len(peers))]
        for name, variant, workers, words in shown:
            weft = by[name, variant, workers, 'weft']
            cells = [number(a['median']) if a else '' for a in (by.get((name, variant, workers, p)) for p in peers)]
            lines.append('| ' + ' | '.join([words, weft['unit'], number(weft['median'])] + cells) + ' |')
    facts = [where.get(k, '?') for k in ('cpu', 'cores', 'kernel', 'compiler', 'commit', 'date')]
    lines += ['', 'Medians, from `%s`: %s, %s cores, Linux %s, %s, commit %s, %s. How: `bench/README.md`.' % tuple(
        [os.path.relpath(path, ROOT)] + facts), END]
    if not write_between('README.md', lines):
        return 1
    lines = [BEGIN] + markdown(answers) + ['', goals(answers, False) + '.', ''] + lines[-2:]
    if not write_between(os.path.join('docs', 'performance.md'), lines):
        return 1
    say('README.md, docs/performance.md: figures from ' + os.path.relpath(path, ROOT))
    return 0


def markdown(answers):
    """All answers with all peers and the goals, as Markdown."""
    lines, all_goals = [], goals_of(answers)
    for part in parts(answers):
        peers = titles(part)
        rows = collections.OrderedDict()
        for a in part:
            rows.setdefault((a['name'], a['variant'], a['workers']), {})[a.get('peer', 'weft')] = a
        lines += ['', '| row | work | w | unit | weft | %sgoal | |' % ''.join(t + ' | ' for t in peers.values()),
                  '|---|---|--:|---|--:|%s--:|---|' % ('--:|' * len(peers))]
        for (name, variant, workers), r in rows.items():
            goal = all_goals.get((name, variant, workers))
            cells = [name, variant, str(workers), next(iter(r.values()))['unit']]
            cells += [number(r[p]['median']) if p in r else '' for p in ['weft'] + list(peers)]
            lines.append('| ' + ' | '.join(cells + [number(goal) if goal is not None else '', met(r.get('weft'), goal)]) + ' |')
    return lines


def write_between(name, lines):
    """Replaces what stands between the markers of a file. Says so and returns False where they are missing."""
    target = os.path.join(ROOT, name)
    with open(target, encoding='utf-8') as f:
        text = f.read()
    if BEGIN not in text or END not in text:
        say('%s has no %s ... %s' % (name, BEGIN, END))
        return False
    text = text[:text.index(BEGIN)] + '\n'.join(lines) + text[text.index(END) + len(END):]
    with open(target, 'w', encoding='utf-8') as f:
        f.write(text)
    return True


def chosen(names):
    """Row names for what the user wrote: P2, or a program's name; all rows for nothing."""
    rows = []
    for n in names:
        hits = [r for r in ROWS if r == n.upper() or ROWS[r].program == n.lower()]
        if not hits:
            known = ' '.join('%s(%s)' % (r, ROWS[r].program) for r in ROWS)
            sys.exit('run.py: no row or program %s; there are %s' % (n, known))
        rows += [h for h in hits if h not in rows]
    return rows or list(ROWS)


def demo(build):
    """The few rows behind "First figures", each next to a peer where one can be built."""
    peers = Peers(build, ('go', 'boost'))
    runner = Runner(build, peers, quick=True)
    answers = []
    for name, only in DEMO:
        answers += runner.row(name, only, runs=3, rounds=3, workers=(1,))
    table(answers, sys.stdout)
    print('Short runs, one core. Ratio: how many times faster weft is in this run. At length: ./dev bench --peers')
    return 1 if runner.failed else 0


def main():
    p = argparse.ArgumentParser(prog='./dev bench', description='Measures weft and, with --peers, others '
                                'at the same work. Prints an answer a line, and a table on standard error.')
    p.add_argument('names', nargs='*', metavar='NAME', help='rows (P2) or programs (yield); all without')
    p.add_argument('--json', metavar='FILE', help='write machine and answers to FILE; standard output gets the table')
    p.add_argument('--peers', action='store_true', help='measure the others too, in turn')
    p.add_argument('--quick', action='store_true', help='short runs: for a look, not for comparing')
    p.add_argument('--table', action='store_true', help='print the table only')
    p.add_argument('--demo', action='store_true', help='the short table of ./dev demo')
    p.add_argument('--readme', nargs='?', const='', metavar='FILE',
                   help="write the figures of README.md and docs/performance.md from a results file and measure nothing")
    p.add_argument('--show', metavar='FILE', help='print the table of a results file and measure nothing')
    p.add_argument('--workers', type=int, default=0, help='only what is measured with so many workers')
    p.add_argument('--runs', type=int, default=0, help='runs of each measurement')
    p.add_argument('--build', default=os.path.join(ROOT, 'build', 'bench'),
                   help='release build with -Dbench=true (build/bench)')
    args = p.parse_args()
    build = os.path.abspath(args.build)

    if args.readme is not None:
        return readme(args.readme)
    if args.show:
        table(load(args.show)[1], sys.stdout)
        return 0
    rows = chosen(args.names)
    if not glob.glob(os.path.join(build, 'bench', 'bench_*')):
        sys.exit('run.py: no programs in %s: ./dev bench builds them' % os.path.join(build, 'bench'))
    if args.demo:
        return demo(build)

    peers = Peers(build, {p for r in rows for p in ROWS[r].peers}) if args.peers else None
    runner = Runner(build, peers, args.quick)
    file = open(args.json, 'w', encoding='utf-8') if args.json else None
    lines = file or (None if args.table else sys.stdout)
    answers = []
    if file:
        print(json.dumps(machine(build)), file=file, flush=True)
    for name in rows:
        if sys.stderr.isatty():
            print('\r%-40s\r' % ('%s %s ...' % (name, ROWS[name].program)), end='', file=sys.stderr, flush=True)
        new = runner.row(name, runs=args.runs, workers=[w for w in ROWS[name].workers if args.workers in (0, w)])
        answers += new
        for a in new if lines else ():
            print(json.dumps(a), file=lines, flush=True)
    if file:
        file.close()
    if sys.stderr.isatty():
        print('\r%40s\r' % '', end='', file=sys.stderr, flush=True)
    table(answers, sys.stderr if lines is sys.stdout else sys.stdout)
    return 1 if runner.failed else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
