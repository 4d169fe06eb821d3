#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sums test results into the plain line 'N passed, N failed, N skipped'.

summary.py FILE...   each FILE is one of meson's testlog*.json, whose TAP subtests are counted one by one (a program that
crashes or runs out of time without a failed subtest counts as one failure), or a tally: lines 'passed failed skipped name'.
Options: --tally prints the three numbers only; --failed also lists what failed, with its diagnostics.

Exit status: 0 if something passed and nothing failed.
"""
import json
import re
import sys

SHOWN = 60  # lines of diagnostics of a failed test
BAD = ('FAIL', 'ERROR', 'TIMEOUT', 'INTERRUPT', 'UNEXPECTEDPASS')
SUBTEST = re.compile(r'^(not )?ok\b([^\n#]*)(#\s*(SKIP|TODO)\b)?', re.M | re.I)


def diagnostics(rest):
    """The comment lines right after a failed subtest's own, each on a new indented line."""
    lines = []
    for line in rest.splitlines()[1:]:
        if not line.startswith('#'):
            break
        lines.append('\n    ' + line)
    cut = len(lines) - SHOWN
    return ''.join(lines[:SHOWN] + (['\n    # (%d lines more)' % cut] if cut > 0 else []))


def count_program(d):
    """(passed, failed, skipped, names of the failed) of one program's entry in testlog.json."""
    passed = failed = skipped = 0
    names = []
    for m in SUBTEST.finditer(d.get('stdout') or ''):
        kind = (m.group(4) or '').upper()
        if kind == 'SKIP':
            skipped += 1
        elif m.group(1) and kind != 'TODO':
            failed += 1
            names.append('%s: %s%s' % (d['name'], m.group(2).strip(), diagnostics(d['stdout'][m.end():])))
        else:
            passed += 1
    bad = d['result'] in BAD
    if not (passed or failed or skipped):
        if bad:
            failed = 1
        elif d['result'] == 'SKIP':
            skipped = 1
        else:
            passed = 1
    elif bad and not failed:
        failed = 1
    if bad and not names:
        said = ((d.get('stdout') or '') + (d.get('stderr') or '')).splitlines()[-SHOWN:]
        names.append('%s: %s%s' % (d['name'], d['result'], ''.join('\n    | ' + line for line in said)))
    return passed, failed, skipped, names


def main(argv):
    flags = [a for a in argv if a.startswith('--')]
    total = [0, 0, 0]
    failed_names = []
    for path in (a for a in argv if not a.startswith('--')):
        with open(path, encoding='utf-8', errors='replace') as f:
            for line in f:
                if line.startswith('{'):
                    *n, names = count_program(json.loads(line))
                    failed_names += names
                elif line.strip():
                    n = [int(x) for x in line.split()[:3]]
                else:
                    continue
                total = [a + b for a, b in zip(total, n)]
    if '--failed' in flags:
        for name in failed_names:
            print('failed: ' + name)
    if '--tally' in flags:
        print('%d %d %d' % tuple(total))
    else:
        print('%d passed, %d failed, %d skipped' % tuple(total))
    return 1 if total[1] or not total[0] else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
