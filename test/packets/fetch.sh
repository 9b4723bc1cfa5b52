#!/bin/sh
# Unpacks Debian's tcpdump with its library into .cache/tcpdump, without installing it.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD/.cache/tcpdump
[ -x "$root/usr/bin/tcpdump" ] && exit 0
if command -v tcpdump >/dev/null; then exit 0; fi
if ! command -v apt-get >/dev/null; then
	echo "fetch.sh: missing: tcpdump (what needs it is skipped; remedy: install it)" >&2
	exit 1
fi
mkdir -p "$root"
cd "$root"
if [ "$(id -u)" = 0 ]; then apt-get update -qq; fi
apt-get download -qq tcpdump libpcap0.8 || {
	echo "fetch.sh: missing: tcpdump (what needs it is skipped; remedy, as root: apt-get update && apt-get install tcpdump)" >&2
	exit 1
}
for package in ./*.deb; do
	dpkg -x "$package" .
done
rm ./*.deb
