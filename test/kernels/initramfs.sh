#!/bin/sh
# Packs the root file system of a guest: busybox, its job script, and programs with their libraries.
#
# usage: initramfs.sh OUTPUT JOB PROGRAM...
set -eu

output=$1 job=$2
shift 2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

mkdir -p "$root"/bin "$root"/proc "$root"/sys "$root"/dev "$root"/tmp
cp "$(dirname "$0")/init" "$root/init"
cp "$job" "$root/job"
for program in busybox "$@"; do
	path=$(readlink -f "$(command -v "$program")")
	cp "$path" "$root/bin/$(basename "$program")"
	{ ldd "$path" 2>/dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
		mkdir -p "$root/$(dirname "$library")"
		cp -L "$library" "$root/$library"
	done
done
(cd "$root" && find . | cpio --quiet -o -H newc) | zstd -q -T1 -3 -f -o "$output"
