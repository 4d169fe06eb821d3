#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles code that must not compile, and checks that the compiler says why.

mustfail.py FILE... -- COMPILER FLAGS...

Each FILE holds its cases between `#if CASE == n` and `#endif`, with a line `/* CASE n: text expected in the diagnostics */`
above each; several such lines for one n are all expected, and of texts with ` | ` between them
one.  Behind ` || ` stands what a C++ compiler says instead; `/* WORDS NAME: texts */` lets NAME stand for texts.  With CASE == 0 the file must compile without a warning.
Speaks TAP.
"""
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

CASE = re.compile(r'/\*\s*CASE\s+(\d+):\s*(.*?)\s*\*/')
WORDS = re.compile(r'/\*\s*WORDS\s+(\w+):\s*(.*?)\s*\*/')


def compile_case(compiler, path, n):
    cmd = compiler + ['-DCASE=%d' % n, '-c', path, '-o', os.devnull]
    env = dict(os.environ, LC_ALL='C')
    r = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    return r.returncode, r.stdout


def main(argv):
    cut = argv.index('--')
    files, compiler = argv[:cut], argv[cut + 1:]
    cxx = any(a.startswith('-std=c++') for a in compiler)
    jobs = []
    for path in files:
        cases = {0: []}
        with open(path, encoding='utf-8') as f:
            source = f.read()
        words = dict(WORDS.findall(source))
        for m in CASE.finditer(source):
            text = m.group(2).split(' || ')[-1 if cxx else 0]
            cases.setdefault(int(m.group(1)), []).append(words.get(text, text))
        jobs += [(path, n, texts) for n, texts in sorted(cases.items())]
    print('TAP version 13\n1..%d' % len(jobs))
    bad = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda j: compile_case(compiler, j[0], j[1]), jobs)
        for i, ((path, n, texts), (rc, out)) in enumerate(zip(jobs, results), 1):
            name = os.path.basename(path)
            missing = [t for t in texts if not any(one in out for one in t.split(' | '))]
            if n == 0:
                ok, why = rc == 0 and not out, 'must compile without a warning'
                title = '%s compiles' % name
            else:
                ok = rc != 0 and not missing
                why = 'compiled, but must not' if rc == 0 else 'diagnostics lack: %s' % '; '.join(missing)
                title = '%s case %d is refused: %s' % (name, n, '; '.join(texts).replace('#', ''))
            print('%s %d - %s' % ('ok' if ok else 'not ok', i, title), flush=True)
            if not ok:
                bad += 1
                print('# ' + why)
                for line in out.splitlines()[:40]:
                    print('# ' + line)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
