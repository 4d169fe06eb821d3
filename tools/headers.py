#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles a header with the system's own before and after it, every choice of which stands where; and with all headers of weft/ beside it.

headers.py HEADER -- COMPILER FLAGS...

The header's names, macros among them, must mean nothing to what the system declares, and nothing there may disturb the header.
No two of weft's headers may give one name two meanings.  A warning counts as a failure.  Speaks TAP.
"""
import glob
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

SYSTEM = ['signal.h', 'time.h', 'sys/select.h', 'pthread.h', 'netdb.h']
# Their names mean what they meant.
USE = '''
int use(void);
int use(void)
{
	struct timespec t = {0, 0};
	struct sigaction a;
	timer_t id;
	pthread_mutex_t m;
	fd_set s;

	FD_ZERO(&s);
	return sigaction(SIGINT, NULL, &a) + timer_create(CLOCK_MONOTONIC, NULL, &id) + timer_delete(id) + pthread_mutex_lock(&m) +
	       pselect(0, &s, NULL, NULL, &t, NULL) + (getaddrinfo("", "", NULL, NULL) == EAI_NONAME) + raise(SIGINT);
}
'''


def compile_order(compiler, header, before, after):
    text = ''.join('#include <%s>\n' % h for h in before) + '#include "%s"\n' % header
    text += ''.join('#include <%s>\n' % h for h in after) + USE
    language = 'c++' if '-std=c++' in ' '.join(compiler) else 'c'
    r = subprocess.run(compiler + ['-x', language, '-fsyntax-only', '-'], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, env=dict(os.environ, LC_ALL='C'))
    return r.returncode, r.stdout


def all_headers(header):
    """Those of weft/ and below, without short.h, whose names are for programs that want them, and erl.h, which needs another's, unless it is the one."""
    top = os.path.dirname(os.path.abspath(header))
    top = os.path.dirname(top) if os.path.basename(top) == 'weft' else top
    found = sorted(os.path.relpath(h, top) for h in glob.glob(top + '/weft/**/*.h', recursive=True))
    return [h for h in found if h != 'weft/short.h' and (h != 'weft/erl.h' or os.path.basename(header) == 'erl.h')]


def main(argv):
    cut = argv.index('--')
    header, compiler = argv[0], argv[cut + 1:]
    jobs = []
    for n in range(len(SYSTEM) + 1):
        for before in itertools.combinations(SYSTEM, n):
            jobs.append((before, [h for h in SYSTEM if h not in before]))
    every = all_headers(header)
    jobs += [(every, SYSTEM), (SYSTEM + every[::-1], [])]
    print('TAP version 13\n1..%d' % len(jobs))
    bad = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda j: compile_order(compiler, header, j[0], j[1]), jobs)
        for i, ((before, _), (rc, out)) in enumerate(zip(jobs, results), 1):
            ok = rc == 0 and not out
            print('%s %d - %s after %s' % ('ok' if ok else 'not ok', i, os.path.basename(header), ' '.join(before)[:100] or 'none'), flush=True)
            if not ok:
                bad += 1
                for line in out.splitlines()[:40]:
                    print('# ' + line)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
