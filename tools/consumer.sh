#!/bin/sh
# SPDX-License-Identifier: MIT
#
# consumer.sh - builds and runs test/consumer as users of weft would: against an installed copy (pkg-config, shared and static, C and C++,
# with sanitizers the library was not built with), and with weft as a meson subproject. Speaks TAP.
set -u
cd "$(dirname "$0")/.." || exit 1
root=$PWD
work=$root/build/consumer
prefix=$work/prefix
src=$root/test/consumer
n=0
bad=0

rm -rf "$work"
mkdir -p "$work"

# report NAME STATUS: one line of TAP, with the last command's output if it went wrong.
report() {
	n=$((n + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $n - $1"
	else
		bad=$((bad + 1))
		echo "not ok $n - $1"
		sed 's/^/# /' "$work/out"
	fi
}

# try NAME COMMAND...: passes if the command succeeds.
try() {
	name=$1
	shift
	"$@" >"$work/out" 2>&1
	report "$name" $?
}

# finds NAME TEXT COMMAND...: passes if the command fails saying TEXT.
finds() {
	name=$1
	text=$2
	shift 2
	"$@" >"$work/out" 2>&1
	status=$?
	[ "$status" -ne 0 ] && grep -q "$text" "$work/out"
	report "$name" $?
}

# compile OUT COMPILER ARGS...: against the installed copy.
compile() {
	out=$1
	shift
	# shellcheck disable=SC2046 # flags are words
	"$@" -Wall -Wextra -Werror -g -O1 $(pkg-config --cflags weft) -o "$out" $(pkg-config --libs weft)
}

compile_static() {
	out=$1
	shift
	# shellcheck disable=SC2046
	"$@" -Wall -Wextra -Werror -g -O1 $(pkg-config --cflags weft) -o "$out" \
		-Wl,-Bstatic -lweft -Wl,-Bdynamic -L"$libdir" $(pkg-config --libs --static weft | sed 's/-lweft//')
}

install_it() {
	meson setup "$work/build" --prefix "$prefix" --libdir lib -Dtests=false -Dexamples=false -Dbuildtype=release \
		-Doptimization=2 && meson install -C "$work/build"
}

echo "TAP version 13"
try "installs" install_it
libdir=$prefix/lib
export PKG_CONFIG_PATH="$libdir/pkgconfig"
export LD_LIBRARY_PATH="$libdir"

try "the shared library has a SONAME" sh -c "readelf -d '$libdir/libweft.so' | grep -q 'SONAME.*libweft\\.so\\.[0-9]'"
try "the shared library needs no writable code and no executable stack" \
	sh -c "! readelf -lW '$libdir/libweft.so' | grep -E 'GNU_STACK.*E|LOAD.*RWE' && ! readelf -d '$libdir/libweft.so' | grep TEXTREL"
try "pkg-config hands on -fstack-clash-protection" sh -c "pkg-config --cflags weft | grep -q -e -fstack-clash-protection"
# short.h renames what the others declare; it is the tail of weft.h.
try "every public header compiles alone" sh -c "for h in '$prefix'/include/weft/*.h '$prefix'/include/weft/lf/*.h; do
	case \$h in */short.h) continue ;; esac
	printf '#include \"%s\"\n' \"\$h\" | gcc -std=gnu11 -Wall -Wextra -Werror -x c -c -o /dev/null - || exit 1
	printf '#include \"%s\"\n' \"\$h\" | g++ -std=c++11 -Wall -Wextra -Werror -x c++ -c -o /dev/null - || exit 1; done"

for cc in gcc clang-14; do
	command -v "$cc" >/dev/null || continue
	try "$cc, shared: builds" compile "$work/user.$cc" "$cc" "$src/user.c"
	try "$cc, shared: runs" "$work/user.$cc"
done
try "an overflow: builds" compile "$work/user.deep" gcc -DBUG_DEEP -Wno-infinite-recursion "$src/user.c"
finds "an overflow: its frames are found and named without frame pointers" "#9 .*dig+0x" "$work/user.deep"
try "gcc, static: builds" compile_static "$work/user.static" gcc "$src/user.c"
try "gcc, static: runs without the shared library" env -u LD_LIBRARY_PATH "$work/user.static"
try "C++: builds" compile "$work/user.cpp" g++ -std=c++11 -Wconversion -Wcast-qual -Wshadow "$src/user.cpp"
try "C++: runs" "$work/user.cpp"
if command -v clang++-14 >/dev/null; then
	try "clang, C++: builds" compile "$work/user.clang.cpp" clang++-14 -std=c++11 -Wconversion -Wcast-qual -Wshadow "$src/user.cpp"
	try "clang, C++: runs" "$work/user.clang.cpp"
fi

# libweft-erl, where erl_interface was found.
if pkg-config --exists weft-erl; then
	try "weft-erl, shared: builds" sh -c "gcc -Wall -Wextra -Werror '$src/erl.c' -o '$work/erl' \$(pkg-config --cflags --libs weft-erl)"
	try "weft-erl, shared: runs" "$work/erl"
	try "weft-erl, C++: builds" sh -c "g++ -std=c++11 -Wall -Wextra -Werror -x c++ '$src/erl.c' -o '$work/erl.cpp' \$(pkg-config --cflags --libs weft-erl)"
	try "weft-erl, C++: runs" "$work/erl.cpp"
	try "weft-erl, static: builds" sh -c "gcc -Wall -Wextra -Werror '$src/erl.c' -o '$work/erl.static' \$(pkg-config --cflags weft-erl) \
		-L'$libdir' -Wl,-Bstatic -lweft-erl -lweft -lei -Wl,-Bdynamic \$(pkg-config --libs --static weft | sed -e 's/-lweft//g')"
	try "weft-erl, static: runs without the shared libraries of weft" env -u LD_LIBRARY_PATH "$work/erl.static"
fi

# libweft-tls, where OpenSSL was found.
if pkg-config --exists weft-tls; then
	try "libweft needs no OpenSSL" sh -c "! readelf -d '$libdir/libweft.so' | grep -q -e ssl -e crypto"
	try "weft-tls has a SONAME" sh -c "readelf -d '$libdir/libweft-tls.so' | grep -q 'SONAME.*libweft-tls\\.so\\.[0-9]'"
	try "weft-tls, shared: builds" sh -c "gcc -Wall -Wextra -Werror '$src/tls.c' -o '$work/tls' \$(pkg-config --cflags --libs weft-tls)"
	try "weft-tls, shared: runs" "$work/tls"
	try "weft-tls, C++: builds" sh -c "g++ -std=c++11 -Wall -Wextra -Werror -x c++ '$src/tls.c' -o '$work/tls.cpp' \$(pkg-config --cflags --libs weft-tls)"
	try "weft-tls, C++: runs" "$work/tls.cpp"
	try "weft-tls, static: builds" sh -c "gcc -Wall -Wextra -Werror '$src/tls.c' -o '$work/tls.static' \$(pkg-config --cflags weft-tls) \
		-L'$libdir' -Wl,-Bstatic -lweft-tls -lweft -Wl,-Bdynamic \$(pkg-config --libs --static weft weft-tls | sed -e 's/-lweft-tls//g' -e 's/-lweft//g')"
	try "weft-tls, static: runs without the shared libraries of weft" env -u LD_LIBRARY_PATH "$work/tls.static"
fi

# weft/lockfree.h needs the headers alone.
lockfree() {
	# shellcheck disable=SC2046
	"$@" -Wall -Wextra -Werror -O2 $(pkg-config --cflags weft) "$src/lockfree.c" -o "$work/lockfree" && "$work/lockfree"
}
try "lockfree.h, C: builds and runs without the library" lockfree gcc -std=gnu11
try "lockfree.h, C++11: builds and runs without the library" lockfree g++ -std=c++11 -x c++
if command -v clang-14 >/dev/null; then
	try "lockfree.h, clang: builds and runs without the library" lockfree clang-14 -std=gnu11
fi
try "C++11, lock-free structures: builds, without the library" sh -c "g++ -std=c++11 -Wall -Wextra -Werror -g -O1 -I '$prefix/include' -pthread '$src/lf.cpp' -o '$work/lf.cpp'"
try "C++11, lock-free structures: runs" "$work/lf.cpp"

# The packaged library is a plain one; only the user's program is instrumented.
norandom=
setarch "$(uname -m)" -R true 2>/dev/null && norandom="setarch $(uname -m) -R"
export ASAN_OPTIONS=detect_stack_use_after_return=1:detect_leaks=1
if command -v clang-14 >/dev/null; then
	try "ASan program: builds" compile "$work/user.asan" clang-14 -fsanitize=address,undefined "$src/user.c"
	try "ASan program: runs quietly" "$work/user.asan"
	try "ASan program with a bug: builds" compile "$work/user.asan.bug" clang-14 -fsanitize=address -DBUG_HEAP "$src/user.c"
	finds "ASan program with a bug: it is found in a task" heap-buffer-overflow "$work/user.asan.bug"
	try "TSan program: builds" compile "$work/user.tsan" clang-14 -fsanitize=thread "$src/user.c"
	# shellcheck disable=SC2086
	try "TSan program: runs quietly" $norandom env TSAN_OPTIONS=halt_on_error=1 WEFT_WORKERS=4 "$work/user.tsan"
	try "TSan, all that orders: builds" compile "$work/order.tsan" clang-14 -fsanitize=thread "$src/order.c"
	# shellcheck disable=SC2086
	try "TSan, all that orders: runs quietly" $norandom env TSAN_OPTIONS=halt_on_error=1 WEFT_WORKERS=4 "$work/order.tsan"
	try "TSan program with a race: builds" compile "$work/user.tsan.bug" clang-14 -fsanitize=thread -DBUG_RACE "$src/user.c"
	# shellcheck disable=SC2086
	finds "TSan program with a race: it is found between tasks" "data race" $norandom env WEFT_WORKERS=4 "$work/user.tsan.bug"
fi

embed() {
	mkdir -p "$work/embedded/subprojects" &&
		cp "$src/embedded/meson.build" "$src/user.c" "$work/embedded/" &&
		ln -s "$root" "$work/embedded/subprojects/weft" &&
		meson setup "$work/embedded/build" "$work/embedded" "$@" &&
		meson test -C "$work/embedded/build"
}
unset PKG_CONFIG_PATH
try "as a meson subproject" embed
rm -rf "$work/embedded"
try "as a meson subproject, static, without warnings of ours" embed -Ddefault_library=static

echo "1..$n"
[ "$bad" -eq 0 ]
