#!/bin/sh
# Unpacks Debian's tcpdump with its library into .cache/tcpdump, without installing it.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD/.cache/tcpdump
[ -x "$root/usr/bin/tcpdump" ] && exit 0
mkdir -p "$root"
cd "$root"
apt-get update -qq
apt-get download tcpdump libpcap0.8
for package in ./*.deb; do
	dpkg -x "$package" .
done
rm ./*.deb
