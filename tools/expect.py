#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a program and compares what it prints with a file.

expect.py FILE PROGRAM [ARG...]   exit status 0 if the program succeeded and printed exactly FILE.
"""
import difflib
import os
import shlex
import subprocess
import sys


def main(argv):
    with open(argv[0], encoding='utf-8') as f:
        want = f.read()
    wrapper = shlex.split(os.environ.get('MESON_EXE_WRAPPER', ''))
    r = subprocess.run(wrapper + argv[1:], stdout=subprocess.PIPE, text=True)
    if r.stdout != want:
        sys.stdout.writelines(difflib.unified_diff(want.splitlines(True), r.stdout.splitlines(True), 'expected', 'printed'))
        return 1
    if r.returncode:
        print('exit status %d' % r.returncode)
    return 1 if r.returncode else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
