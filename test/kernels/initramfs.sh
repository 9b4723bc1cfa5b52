#!/bin/sh
# Packs the root file system of a guest: busybox, its job script, and programs with their libraries. Those of
# another architecture, which cannot run here to say what they need, come with all libraries of LIBRARIES.
#
# usage: initramfs.sh OUTPUT JOB BUSYBOX PROGRAM...
set -eu

output=$1 job=$2
shift 2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

mkdir -p "$root"/bin "$root"/proc "$root"/sys "$root"/dev "$root"/tmp
cp "$(dirname "$0")/init" "$root/init"
cp "$job" "$root/job"
for program; do
	path=$(readlink -f "$program")
	cp "$path" "$root/bin/$(basename "$program")"
	[ -z "${LIBRARIES:-}" ] || continue
	{ ldd "$path" 2>/dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
		mkdir -p "$root/$(dirname "$library")"
		cp -L "$library" "$root/$library"
	done
done
if [ -n "${LIBRARIES:-}" ]; then
	(cd "$LIBRARIES" && find lib usr/lib -maxdepth 2 -name '*.so*') | while read -r library; do
		mkdir -p "$root/$(dirname "$library")"
		cp -L "$LIBRARIES/$library" "$root/$library"
	done
fi
(cd "$root" && find . | cpio --quiet -o -H newc) | zstd -q -T1 -3 -f -o "$output"
