#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One row of the network benchmarks (P19 to P21, P50, P51) for one server: starts it, asks it with bench_load (P50:
bench_visit; P51: bench_pour, next to it), prints an answer a line, as every other program of bench/ does. run.py calls
it once a round for weft and for each peer.

    net.py [--workers N] [--quick] [--only TEXT] [--peer NAME] --load build/bench/bench/bench_load ROW SERVER...

SERVER is called with `--mode echo|lazy|http|accept|sink|source --workers N`, prints "port N [VERSION]", and serves until killed. With one
worker it has the first core and the load generator the second one; with more, both have all cores. Everything stays on
the loopback; a server dies with this program.
"""
import argparse
import contextlib
import ctypes
import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CPUS = sorted(os.sched_getaffinity(0))
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
START = 10      # seconds a server may take to say its port
LIMIT = 60      # seconds one run of the load generator may take


class Failed(Exception):
    pass


def child(cpus):
    """What a child does before it becomes a program: it dies with us, has its cores, and may have all descriptors."""
    def prepare():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.sched_setaffinity(0, cpus)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return prepare


class Server:
    """A server that runs for as long as the with statement; pid, port and version once it has said them."""

    def __init__(self, command, mode, workers, cpus):
        self.command = command + ['--mode', mode, '--workers', str(workers)]
        self.cpus = cpus

    def __enter__(self):
        try:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                            preexec_fn=child(self.cpus))
        except OSError as e:
            raise Failed(str(e)) from e
        self.pid = self.process.pid
        line = ''
        if select.select([self.process.stdout], [], [], START)[0]:
            line = self.process.stdout.readline()
        said = re.match(r'port (\d+)\s*(.*)$', line)
        if not said:
            self.__exit__()
            raise Failed('%s: did not say its port' % self.command[0])
        self.port, self.version = said.group(1), said.group(2)
        return self

    def __exit__(self, *_):
        ended = self.process.poll()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        if ended is not None:
            print('%s: ended by itself, status %d' % (self.command[0], ended), file=sys.stderr)


class Counter:
    """Counts a process's system calls for as long as the with statement; total afterwards."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        self.out = tempfile.NamedTemporaryFile('r', encoding='utf-8')
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, preexec_fn=child(CPUS))
        end = time.monotonic() + START
        while self.process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError):
                if self.attached():
                    return self
            time.sleep(0.01)
        self.__exit__()
        raise Failed('%s could not attach to %d' % (self.command()[0], self.pid))

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(START)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with self.out:
            said = re.search(self.TOTAL, self.out.read(), re.M)
        self.total = int(said.group(1)) if said else 0


class Perf(Counter):
    """A count in the kernel: what is counted runs nearly as fast as else."""
    EVENT = 'raw_syscalls:sys_enter'
    TOTAL = r'^(\d+),.*raw_syscalls'

    @classmethod
    def works(cls):
        try:
            r = subprocess.run(['perf', 'stat', '-x,', '-e', cls.EVENT, 'true'], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=START)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return r.returncode == 0 and re.search(cls.TOTAL, r.stderr, re.M) is not None

    def command(self):
        return ['perf', 'stat', '-x,', '-e', self.EVENT, '-o', self.out.name, '-p', str(self.pid)]

    def attached(self):
        fds = '/proc/%d/fd' % self.process.pid
        have = sum('perf_event' in os.readlink(os.path.join(fds, fd)) for fd in os.listdir(fds))
        if have < len(os.listdir('/proc/%d/task' % self.pid)):
            return False
        time.sleep(0.1)     # they are open; now they are being switched on
        return True


class Strace(Counter):
    """Stops the server at every call. What a runtime does by the clock weighs more than it should."""
    TOTAL = r'^\s*(\d+)\s+total$'

    def command(self):
        return ['strace', '-f', '-c', '-U', 'calls,name', '-o', self.out.name, '-p', str(self.pid)]

    def attached(self):
        tasks = '/proc/%d/task' % self.pid
        for thread in os.listdir(tasks):
            with open(os.path.join(tasks, thread, 'status'), encoding='utf-8') as f:
                if re.search(r'^TracerPid:\s*0$', f.read(), re.M):
                    return False
        return True


class Row:
    def __init__(self, args):
        self.args = args
        self.version = ''

    def server(self, mode, cpus):
        return Server(self.args.server, mode, self.args.workers, cpus)

    def load(self, server, mode, cpus, *more, program='load'):
        """What bench_load, or another, counted."""
        path = os.path.join(os.path.dirname(self.args.load), 'bench_' + program)
        command = [path, '--port', server.port, '--pid', str(server.pid), '--mode', mode]
        command += [str(m) for m in more]
        self.version = server.version
        try:
            r = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT, preexec_fn=child(cpus))
        except (OSError, subprocess.TimeoutExpired) as e:
            raise Failed(str(e)) from e
        if r.returncode:
            raise Failed('%s: exit status %d' % (' '.join(command), r.returncode))
        return json.loads(r.stdout)

    def wanted(self, variant):
        return self.args.only in variant

    def report(self, variant, unit, value):
        if not self.wanted(variant):
            return
        value = float('%.4g' % value)
        a = {'name': self.args.row, 'variant': variant, 'workers': self.args.workers, 'unit': unit, 'median': value,
             'min': value, 'max': value, 'runs': 1}
        if self.args.peer:
            a.update(peer=self.args.peer, version=self.version)
        else:
            a['commit'] = os.environ.get('WEFT_BENCH_COMMIT', '')
        print(json.dumps(a), flush=True)

    def window(self):
        return ('--warm', 0.3, '--seconds', 1) if self.args.quick else ('--warm', 0.5, '--seconds', 1.5)

    def one_core(self, mode, conns):
        """CPU a request, requests a second and how late the replies are, the server with one worker on a core of its own."""
        what = 'CPU a request', 'requests', 'p50', 'p99'
        cpu, rate, p50, p99 = names = ['%s, %d connection%s, %s' % (mode, conns, '' if conns == 1 else 's', w) for w in what]
        if not any(self.wanted(name) for name in names):
            return
        with self.server(mode, CPUS[:1]) as server:
            seen = self.load(server, mode, CPUS[1:2], '--conns', conns, *self.window())
        self.report(cpu, 'us', seen['server_cpu_us'])
        self.report(rate, 'k/s', seen['krps'])
        self.report(p50, 'us', seen['p50_us'])
        self.report(p99, 'us', seen['p99_us'])

    def calls(self, mode, conns):
        """System calls a request, in a run of its own: counting slows the server down."""
        variant = '%s, %d connection%s, system calls a request' % (mode, conns, '' if conns == 1 else 's')
        if not self.wanted(variant):
            return
        counter = Perf if Perf.works() else Strace if shutil.which('strace') else None
        if not counter:
            print('%s: left out: neither perf (as root) nor strace here (Debian: strace)' % variant, file=sys.stderr)
            return
        runs = []
        with self.server(mode, CPUS[:1]) as server:
            for seconds in (0.1, 0.6):
                with counter(server.pid) as count:
                    seen = self.load(server, mode, CPUS[1:2], '--conns', conns, '--warm', 0, '--seconds', seconds)
                    time.sleep(0.05)    # the server closes its connections
                if not count.total:
                    raise Failed('%s: counted nothing' % counter.__name__)
                runs.append((count.total, seen['total']))
        # What connecting and closing take is in both and cancels.
        (calls0, requests0), (calls1, requests1) = runs
        self.report(variant, 'calls', (calls1 - calls0) / (requests1 - requests0))

    def tail(self, mode, conns):
        """p99 with many connections; the server's workers and the load generator share all cores."""
        variant = '%s, %d connections, p99' % (mode, conns)
        if not self.wanted(variant):
            return
        with self.server(mode, CPUS) as server:
            seen = self.load(server, mode, CPUS, '--conns', conns, *self.window())
        self.report(variant, 'ms', seen['p99_us'] / 1e3)

    def idle(self, mode, name, conns):
        rss, tables = name + ', resident', name + ', page tables'
        if not self.wanted(rss) and not self.wanted(tables):
            return
        with self.server(mode, CPUS[:1]) as server:
            seen = self.load(server, 'echo', CPUS[1:2], '--idle', '--conns', conns, '--seconds',
                             1 if self.args.quick else 3)
        self.report(rss, 'B', seen['rss_each'])
        self.report(tables, 'B', seen['tables_each'])

    def visits(self, mode, what):
        """Connections that come and go: CPU each, and how many a second; the server with one worker on a core of its own."""
        cpu, rate = '%s, 50 at a time, CPU a connection' % what, '%s, 50 at a time, connections' % what
        if not self.wanted(cpu) and not self.wanted(rate):
            return
        with self.server(mode, CPUS[:1]) as server:
            seen = self.load(server, mode, CPUS[1:2], '--conns', 50, *self.window(), program='visit')
        self.report(cpu, 'us', seen['server_cpu_us'])
        self.report(rate, 'k/s', seen['kvps'])

    def stream(self, mode, what):
        """One connection, as much as goes through it."""
        cpu, rate = 'TCP, one stream %s, CPU a GB' % what, 'TCP, one stream %s' % what
        if not self.wanted(cpu) and not self.wanted(rate):
            return
        with self.server(mode, CPUS[:1]) as server:
            seen = self.load(server, mode, CPUS[1:2], *self.window(), program='pour')
        self.report(cpu, 's/GB', seen['server_cpu_s_gb'])
        self.report(rate, 'GB/s', seen['gbps'])

    def run(self):
        if self.args.row == 'P19' and self.args.workers == 1:
            for conns in 1, 50, 1000:
                self.one_core('echo', conns)
                self.calls('echo', conns)
        elif self.args.row == 'P50':
            self.visits('accept', 'accepted and closed')
            self.visits('echo', 'one echo each')
        elif self.args.row == 'P51':
            self.stream('sink', 'received')
            self.stream('source', 'sent')
        elif self.args.row == 'P19':
            self.tail('echo', 1000)
        elif self.args.row == 'P20':
            self.one_core('http', 100)
        else:
            conns = 4000 if self.args.quick else 10000
            self.idle('echo', 'idle connection', conns)
            if self.args.peer in ('', 'go'):
                self.idle('lazy', 'idle connection, buffer when readable', conns)


def main():
    p = argparse.ArgumentParser(description='One row of the network benchmarks for one server.')
    p.add_argument('--workers', type=int, default=1)
    p.add_argument('--quick', action='store_true')
    p.add_argument('--only', default='', metavar='TEXT')
    p.add_argument('--peer', default='', metavar='NAME', help='whose server it is; weft\'s without')
    p.add_argument('--load', required=True, metavar='PROGRAM')
    p.add_argument('row', choices=['P19', 'P20', 'P21', 'P50', 'P51'])
    p.add_argument('server', nargs='+')
    args = p.parse_args()
    if len(CPUS) < 2:
        print('%s: left out: server and load need a core each' % args.row, file=sys.stderr)
        return 0
    try:
        Row(args).run()
    except Failed as e:
        print('net.py: %s' % e, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
