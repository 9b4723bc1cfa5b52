#!/bin/sh
# Fetches Debian's Prometheus, with promtool, and prints the folder of its programs. Nothing is installed.
#
# usage: prometheus.sh CACHE
set -eu

cache=$(mkdir -p "$1" && cd "$1" && pwd)
if [ ! -x "$cache/usr/bin/prometheus" ]; then
	rm -rf "$cache/new" && mkdir -p "$cache/new"
	(cd "$cache/new" && apt-get -q -o APT::Sandbox::User=root download prometheus >&2)
	dpkg-deb -x "$cache/new"/prometheus_*.deb "$cache"
	rm -rf "$cache/new"
fi
echo "$cache/usr/bin"
