#!/bin/sh
# Unpacks Debian's HAProxy with its libraries into .cache/haproxy, without installing it.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD/.cache/haproxy
[ -x "$root/usr/sbin/haproxy" ] && exit 0
if command -v haproxy >/dev/null; then exit 0; fi
missing() {
	echo "haproxy.sh: missing: haproxy (what needs it is skipped; remedy, as root: apt-get update && apt-get install haproxy)" >&2
	exit 1
}
command -v apt-get >/dev/null || missing
mkdir -p "$root"
cd "$root"
if [ "$(id -u)" = 0 ]; then apt-get update -qq; fi
# Of what it depends on, a machine with apt-get has the rest.
apt-get download -qq haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 libpcre2-8-0 libssl3 || missing
for package in ./*.deb; do
	dpkg -x "$package" .
done
rm ./*.deb
