#!/bin/sh
# SPDX-License-Identifier: MIT
#
# spin.sh - checks a Promela model in full, and that each of its mutations is caught. Emits TAP.
#
# usage: spin.sh MODEL.pml        (needs spin and a C compiler: $CC or cc)
#
# The mutations are the lines " * MUTATION n: what" on top of the model, compiled in with -DMUTATE=n.
set -eu

model=$(realpath "$1")
name=$(basename "$model")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# Prints "holds", "fails", or what went wrong.
check() {
	rm -f pan* ./*.trail
	if ! spin "-DMUTATE=$1" -a "$model" >spin.log 2>&1 ||
	   ! ${CC:-cc} -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c >>spin.log 2>&1; then
		cat spin.log >&2
		echo "does not compile"
	elif ! ./pan -m200000 >pan.log 2>&1; then
		cat pan.log >&2
		echo "pan fails"
	elif grep -q 'max search depth too small\|out of memory' pan.log; then
		echo "search cut short"
	elif grep -q 'errors: 0' pan.log; then
		echo holds
	else
		echo fails
	fi
}

count=$(grep -c '^ \* MUTATION [0-9]*: ' "$model")
echo "TAP version 13"
echo "1..$((count + 1))"
bad=0
n=0
while [ "$n" -le "$count" ]; do
	result=$(check "$n")
	if [ "$n" -eq 0 ]; then
		want=holds
		what="holds: $name"
	else
		want=fails
		what="caught: $(sed -n "s/^ \* MUTATION $n: //p" "$model")"
	fi
	if [ "$result" = "$want" ]; then
		echo "ok $((n + 1)) - $what"
	else
		echo "not ok $((n + 1)) - $what ($result)"
		bad=1
		[ "$n" -ne 0 ] || spin "-DMUTATE=0" -t -p -k ./*.trail "$model" 2>/dev/null | tail -60 | sed 's/^/# /'
	fi
	n=$((n + 1))
done
exit $bad
