#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tap_test.sh - tests the harness: runs tap_sample, whose tests fail in every way, and looks at what is reported.
# Written without the harness, for a harness that reports nothing would also report nothing of itself.
set -u
sample=$1
wrapper=${MESON_EXE_WRAPPER:-}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
n=0
bad=0

# shellcheck disable=SC2086 # the wrapper is a command with arguments
WEFT_TEST_SLOW=1 WEFT_TEST_LIMIT=${WEFT_TEST_LIMIT:-2} $wrapper "$sample" >"$dir/out" 2>"$dir/err"
status=$?

# check NAME PATTERN: some line of the report matches.
check() {
	n=$((n + 1))
	if grep -q -e "$2" "$dir/out"; then
		echo "ok $n - $1"
	else
		bad=$((bad + 1))
		echo "not ok $n - $1"
		echo "# no line matches: $2"
		sed 's/^/# /' "$dir/out" "$dir/err"
	fi
}

echo "TAP version 13"
echo "1..23"
check "says how many tests there are" '^1\.\.15$'
check "a test that returns passed" '^ok 1 - passes$'
check "a test that passes may tell a line" '^# three moons$'
check "a failed check is reported" '^not ok 2 - fails_with_both_values$'
check "a failed check shows both values" '^# failed at .*tap_sample.c:[0-9]*: four == 5: 4 against 5$'
check "a failed test's notes are shown" '^# a note$'
check "a check that fails on another thread is reported" '^not ok 3 - fails_on_a_thread$'
check "strings are shown" '"left" against "right"$'
check "a crash is reported" '^not ok 4 - crashes$'
check "a crash is named" '^# crashes: killed by signal 9'
check "an exit is reported" '^# exits_with_status: ended with exit status 7$'
check "a time-out is reported" '^not ok 6 - hangs$'
check "a time-out is named" '^# hangs: ran out of time: 2 s$'
check "a test deaf to SIGQUIT is ended too" '^# hangs_deaf: ran out of time: 2 s$'
check "a skip gives its reason" '^ok 8 - skips # SKIP no moon here$'
check "one worker" '^ok 9 - counts_workers @1w$'
check "eight workers" '^ok 11 - counts_workers @8w$'
check "an expected death passes" '^ok 12 - dies_as_told$'
check "a death without the text fails" '^not ok 13 - dies_silently$'
check "no death where one is expected fails" '^not ok 14 - lives_on$'
check "a failed check is no expected death" '^not ok 15 - fails_before_it_dies$'

n=$((n + 1))
if grep -q 'ok 99' "$dir/out"; then
	bad=$((bad + 1))
	echo "not ok $n - a passing test's output stays out of the report"
else
	echo "ok $n - a passing test's output stays out of the report"
fi
n=$((n + 1))
if [ "$status" -eq 1 ]; then
	echo "ok $n - the program's exit status says that something failed"
else
	bad=$((bad + 1))
	echo "not ok $n - the program's exit status says that something failed"
	echo "# exit status $status"
fi
[ "$bad" -eq 0 ]
