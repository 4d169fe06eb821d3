#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares what a shared library exports with what the public headers declare as WEFT_API.

symbols.py LIBRARY INCLUDE_DIR   exit status 0 if the two sets are the same.

A library beside libweft.so has a header of its own, which is none of libweft's.
"""
import pathlib
import re
import subprocess
import sys

API = re.compile(r'\bWEFT_API\b([^;{]*)[;{]', re.S)
NAME = re.compile(r'\b(weft_\w+)\s*(?:\(|\[|$)')

BESIDE = {'libweft-tls.so': 'tls.h', 'libweft-erl.so': 'erl.h'}


def declared(include, library):
    names = set()
    for path in sorted(pathlib.Path(include).rglob('*.h')):
        if path.name in BESIDE.values() and path.name != BESIDE.get(library) or library in BESIDE and path.name != BESIDE[library]:
            continue
        text = re.sub(r'/\*.*?\*/', ' ', path.read_text(encoding='utf-8'), flags=re.S)
        for m in API.finditer(text):
            if text[text.rfind('\n', 0, m.start()) + 1:m.start()].lstrip().startswith('#'):
                continue  # the definition of WEFT_API
            found = NAME.search(m.group(1).strip())
            if found:
                names.add(found.group(1))
            else:
                print('%s: cannot read the declaration: %s' % (path, ' '.join(m.group(0).split())))
    return names


def exported(library):
    out = subprocess.run(['nm', '-D', '--defined-only', library], stdout=subprocess.PIPE, text=True, check=True).stdout
    names = set()
    for line in out.splitlines():
        kind, name = line.split()[-2:]
        if kind != 'A':  # the version node itself
            names.add(name.split('@')[0])
    return names


def main(argv):
    want, have = declared(argv[1], pathlib.Path(argv[0]).name), exported(argv[0])
    for name in sorted(want - have):
        print('declared WEFT_API but not exported: ' + name)
    for name in sorted(have - want):
        print('exported but not declared WEFT_API: ' + name)
    print('%d symbols' % len(have))
    return 0 if want == have and have else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
