#!/bin/sh
# Fetches servers and client libraries as Debian packages, each into a root of its own. A server gets every library
# that it depends on, so it runs with any C library of the machine. Nothing is installed; later runs reuse the files.
#
# usage: fetch.sh CACHE NAME...    for example fetch.sh .cache/truth redis-7.0 python
set -eu
# shellcheck source=test/apt.sh
. "$(dirname "$0")/../apt.sh"

cache=$(mkdir -p "$1" && cd "$1" && pwd)
shift
architecture=$(dpkg --print-architecture)
libraries='lib[^/]*|gcc-[0-9]*-base|zlib1g|lua-[^/]*'

# source_of NAME prints the suite, a pattern for the dependencies to fetch, and the packages.
source_of() {
	case $1 in
	redis-6.0) echo bullseye $libraries redis-server redis-tools ;;
	redis-7.0) echo bookworm $libraries redis-server redis-tools ;;
	redis-8.0) echo trixie $libraries redis-server redis-tools ;;
	valkey-8) echo trixie $libraries valkey-server valkey-tools ;;
	valkey-9) echo forky $libraries valkey-server valkey-tools ;;
	hiredis) echo bookworm none libhiredis-dev libhiredis0.14 ;;
	hiredis-ssl) echo trixie "$libraries" libhiredis-dev libhiredis1.1.0 ;;
	php) echo bookworm "$libraries|php8.2-common|php8.2-igbinary" php8.2-cli php8.2-redis ;;
	python) echo bookworm none python3-redis python3-async-timeout python3-packaging ;;
	*) echo "fetch.sh: unknown name $1" >&2 && return 1 ;;
	esac
}

for wanted in "$@"; do
	target="$cache/$wanted"
	[ -d "$target" ] && continue
	# shellcheck disable=SC2046 # a list of words
	set -- $(source_of "$wanted")
	rm -rf "$target.new" && mkdir -p "$target.new"
	unpack_into "$target.new" "$architecture" "$@"
	mv "$target.new" "$target"
done
