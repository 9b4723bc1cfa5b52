#!/bin/sh
# Fetches Debian's kernels, each into a folder of its own with its vmlinuz and the modules of sockets that the
# conformance test tries. Packages are downloaded with package lists of our own, unpacked, not installed, and
# kept for later runs.
#
# usage: fetch.sh CACHE SERIES[-arm64]...    for example fetch.sh .cache/kernels 5.10 7.2-arm64
set -eu
# shellcheck source=test/apt.sh
. "$(dirname "$0")/../apt.sh"

cache=$(mkdir -p "$1" && cd "$1" && pwd)
shift

# suite_of SERIES prints the suite that carries a kernel series.
suite_of() {
	case $1 in
	5.10) echo bullseye ;;
	6.1) echo bookworm ;;
	6.12) echo trixie ;;
	7.2) echo forky ;;
	*) echo "fetch.sh: unknown kernel series $1 (known: 5.10 6.1 6.12 7.2)" >&2 && return 1 ;;
	esac
}

# newest SUITE SERIES ARCHITECTURE prints the newest package that holds a vmlinuz. From 6.17 on it is linux-binary-*.
newest() {
	lists="$cache/apt/$1-$3/lists"
	for kind in linux-binary linux-image; do
		for list in "$lists"/*_Packages*; do
			/usr/lib/apt/apt-helper cat-file "$list"
		done | sed -n "s/^Package: \($kind-$2\.[0-9][^ ]*-cloud-$3\)\$/\1/p;s/^Package: \($kind-$2\.[0-9][^ ]*-cloud-$3-unsigned\)\$/\1/p" |
			sort -V | tail -n 1
	done | head -n 1
}

# The modules of kTLS with AES-GCM, SMC and SCTP, each behind those that it needs. No kernel has all of them.
modules='gf128mul libgf128hash crypto_null ctr ghash-generic gcm tls ib_core smc libcrc32c udp_tunnel ip6_udp_tunnel sctp'

# unpack_modules FOLDER PACKAGE... packs the modules of packages into FOLDER/modules.cpio, to be appended to a root file system.
unpack_modules() {
	folder=$1
	shift
	mkdir -p "$folder/root/modules"
	for package; do
		dpkg-deb --fsys-tarfile "$package" | tar -x -C "$folder/package" --wildcards '*.ko*' 2>/dev/null || true # it may hold none
	done
	order=10
	for module in $modules; do
		found=$(find "$folder/package" -name "$module.ko" -o -name "$module.ko.xz")
		order=$((order + 1))
		case $found in
		'') ;;
		*.xz) busybox unxz -c "$found" >"$folder/root/modules/$order-$module.ko" ;;
		*) cp "$found" "$folder/root/modules/$order-$module.ko" ;;
		esac
	done
	(cd "$folder/root" && find . | cpio --quiet -o -H newc) >"$folder/modules.cpio"
	rm -rf "$folder/root"
}

for wanted in "$@"; do
	series=${wanted%-arm64} architecture=amd64
	[ "$series" = "$wanted" ] || architecture=arm64
	target="$cache/$wanted"
	[ -e "$target/vmlinuz" ] && [ -e "$target/modules.cpio" ] && continue
	suite=$(suite_of "$series")
	apt_for "$suite" "$architecture" update >&2
	package=$(newest "$suite" "$series" "$architecture")
	[ -n "$package" ] || { echo "fetch.sh: $suite has no kernel $series for $architecture" >&2; exit 1; }
	echo "fetching $package" >&2
	rm -rf "$target.new" && mkdir -p "$target.new/package"
	(cd "$target.new" && apt_for "$suite" "$architecture" download "$package" >&2)
	case $package in
	linux-binary-*) # its modules are a package of their own
		(cd "$target.new" && apt_for "$suite" "$architecture" download "linux-modules-${package#linux-binary-}" >&2) ;;
	esac
	dpkg-deb --fsys-tarfile "$target.new"/linux-[!m]*.deb | tar -x -C "$target.new/package" --wildcards '*/vmlinuz*'
	find "$target.new/package" -type f -name 'vmlinuz*' -exec mv {} "$target.new/vmlinuz" \;
	[ -e "$target.new/vmlinuz" ] || { echo "fetch.sh: $package holds no vmlinuz" >&2; exit 1; }
	unpack_modules "$target.new" "$target.new"/*.deb
	rm -rf "$target.new/package" "$target.new"/*.deb
	rm -rf "$target" && mv "$target.new" "$target"
done
