#!/bin/sh
# Unpacks OpenSSL of Debian's suites, for amd64 and arm64, into folders SUITE-ARCHITECTURE, for the tests of
# internal/library. Kept for later runs.
#
# usage: libraries.sh CACHE    for example libraries.sh .cache/libraries
set -eu
# shellcheck source=test/apt.sh
. "$(dirname "$0")/apt.sh"
cache=$(mkdir -p "$1" && cd "$1" && pwd)

missing() {
	echo "libraries.sh: missing: OpenSSL of Debian's suites (tests that need it are skipped; they need apt-get)" >&2
	exit 1
}
command -v apt-get >/dev/null || missing

for wanted in bullseye:libssl1.1 bookworm:libssl3 trixie:libssl3t64; do
	for architecture in amd64 arm64; do
		target="$cache/${wanted%:*}-$architecture"
		[ -e "$target/complete" ] && continue
		mkdir -p "$target"
		cd "$target"
		apt_for "${wanted%:*}" "$architecture" update >/dev/null || missing
		apt_for "${wanted%:*}" "$architecture" download "${wanted#*:}" >/dev/null || missing
		for package in ./*.deb; do
			dpkg -x "$package" .
			rm "$package"
		done
		touch complete
	done
done
