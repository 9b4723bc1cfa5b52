#!/bin/sh
# Packs the root file system of a guest: busybox, redis-server with its libraries, the observer and the conformance test,
# the latter also as a binary of 32 bits.
#
# usage: initramfs.sh OUTPUT OBSERVER TEST NARROW_TEST
set -eu

output=$1 observer=$2 test=$3 narrow=$4
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

mkdir -p "$root"/bin "$root"/proc "$root"/sys "$root"/dev "$root"/tmp
cp "$(dirname "$0")/init" "$root/init"
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$observer" "$root/redis-observer"
cp "$test" "$root/conformance.test"
cp "$narrow" "$root/narrow.test"
redis=$(readlink -f "$(command -v redis-server)")
ldd "$redis" | grep -o '/[^ ]*' | while read -r library; do
	mkdir -p "$root/$(dirname "$library")"
	cp -L "$library" "$root/$library"
done
cp "$redis" "$root/bin/redis-server"
(cd "$root" && find . | cpio --quiet -o -H newc) | zstd -q -T1 -3 -f -o "$output"
