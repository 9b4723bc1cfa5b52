#!/bin/sh
# Unpacks the programs of a guest of another architecture, with their libraries, into CACHE/ARCHITECTURE/root.
# Packages are downloaded with package lists of our own, unpacked, not installed, and kept for later runs.
#
# usage: userland.sh CACHE ARCHITECTURE    for example userland.sh .cache/kernels arm64
set -eu
# shellcheck source=test/apt.sh
. "$(dirname "$0")/../apt.sh"

cache=$(mkdir -p "$1" && cd "$1" && pwd)
architecture=$2
target=$cache/$architecture/root
[ -e "$target/usr/bin/redis-server" ] && exit 0

apt_for bookworm "$architecture" update >&2
rm -rf "$target.new" && mkdir -p "$target.new"
# redis-server is a link in a package of that name to a program of redis-tools.
(cd "$target.new" && apt_for bookworm "$architecture" download busybox-static redis-server redis-tools \
	libatomic1 libc6 libcap2 libgcrypt20 libgpg-error0 libjemalloc2 liblua5.1-0 libgcc-s1 liblz4-1 liblzf1 liblzma5 \
	libssl3 libstdc++6 libsystemd0 libzstd1 lua-bitop lua-cjson >&2)
for package in "$target.new"/*.deb; do
	dpkg -x "$package" "$target.new"
done
rm "$target.new"/*.deb
rm -rf "$target" && mv "$target.new" "$target"
