#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bare.sh - tries both README commands on a bare Debian 12: debootstrap into a folder, chroot, ./dev test and ./dev demo as root; and as a
# user who may not install packages, who must be told what is missing. Needs root and debootstrap; keeps the base system in
# WEFT_BARE_DIR if that is set. Speaks TAP.
set -u
cd "$(dirname "$0")/.." || exit 1
mirror=${WEFT_BARE_MIRROR:-http://deb.debian.org/debian}
dir=${WEFT_BARE_DIR:-$(mktemp -d)}
base=$dir/base
root=$dir/root
logs=build/log
n=0
bad=0
mkdir -p "$logs"

unmount() {
	for m in dev proc; do
		umount "$root/$m" 2>/dev/null
	done
}

cleanup() {
	unmount
	rm -rf "${root:?}"
	[ -n "${WEFT_BARE_DIR:-}" ] || rm -rf "${dir:?}"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

report() {
	n=$((n + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $n - $1"
	else
		bad=$((bad + 1))
		echo "not ok $n - $1"
		{ grep -a -A 8 '^failed' "$3"; tail -n 40 "$3"; } | sed 's/^/# /'
	fi
}

# fresh: a bare system with the tree in /home/user/weft.
fresh() {
	unmount
	rm -rf "${root:?}"
	cp -a "$base" "$root" || return 1
	mkdir -p "$root/home/user/weft"
	tar -C . --exclude=./build --exclude=./.git -cf - . | tar -C "$root/home/user/weft" -xf - || return 1
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	chroot "$root" useradd -d /home/user user
	chroot "$root" chown -R user /home/user
	mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev"
}

inside() {
	chroot "$root" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
command -v debootstrap >/dev/null || { echo "1..0 # SKIP needs debootstrap"; exit 0; }

echo "TAP version 13"
if [ ! -x "$base/bin/sh" ]; then
	debootstrap --variant=minbase bookworm "$base" "$mirror" >"$logs/bare-debootstrap.txt" 2>&1
	report "debootstrap" $? "$logs/bare-debootstrap.txt"
fi
# The host's package sources and proxy, where it has its own.
if [ -f /etc/apt/sources.list.d/debian.sources ]; then
	rm -f "$base/etc/apt/sources.list"
	cp /etc/apt/sources.list.d/debian.sources "$base/etc/apt/sources.list.d/"
fi
grep -lis 'acquire::.*\(proxy\|check-\)' /etc/apt/apt.conf /etc/apt/apt.conf.d/* | while read -r conf; do
	cp "$conf" "$base/etc/apt/apt.conf.d/"
done

fresh
log=$logs/bare-user.txt
inside su user -c 'cd /home/user/weft && ./dev test' >"$log" 2>&1
[ $? -eq 1 ] && grep -q 'apt-get install .*meson' "$log"
report "a user who may not install is told the line to run" $? "$log"

log=$logs/bare-test.txt
inside sh -c 'cd /home/user/weft && ./dev test' >"$log" 2>&1 </dev/null
report "./dev test as root: $(tail -n 1 "$log")" $? "$log"

log=$logs/bare-user-test.txt
inside chown -R user /home/user
inside su user -c 'cd /home/user/weft && rm -rf build && ./dev test' >"$log" 2>&1 </dev/null
report "./dev test as a user, packages present: $(tail -n 1 "$log")" $? "$log"

fresh
log=$logs/bare-demo.txt
inside sh -c 'cd /home/user/weft && ./dev demo' >"$log" 2>&1 </dev/null
report "./dev demo as root" $? "$log"

echo "1..$n"
[ "$bad" -eq 0 ]
