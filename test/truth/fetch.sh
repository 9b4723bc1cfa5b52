#!/bin/sh
# Fetches servers and client libraries as Debian packages, each into a root of its own. A server gets every library
# that it depends on, so it runs with any C library of the machine. Nothing is installed; later runs reuse the files.
#
# usage: fetch.sh CACHE NAME...    for example fetch.sh .cache/truth redis-7.0 python
set -eu

cache=$(mkdir -p "$1" && cd "$1" && pwd)
shift
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

# apt_for SUITE ARGUMENTS... runs apt-get on the package lists of that suite alone, as if nothing were installed.
apt_for() {
	suite=$1
	shift
	apt="$cache/apt/$suite"
	mkdir -p "$apt/lists/partial" "$apt/archives/partial"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" >"$apt/sources.list"
	: >"$apt/status"
	apt-get -q -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
		-o "Dir::State::Lists=$apt/lists" -o "Dir::State::Status=$apt/status" -o "Dir::Cache=$apt" -o APT::Sandbox::User=root \
		-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::Default-Enabled=false -o Acquire::Retries=5 "$@"
}

# archives SUITE PATTERN PACKAGE... prints the addresses of the packages, and of those that they depend on and that match.
archives() {
	suite=$1 pattern=$2
	shift 2
	apt_for "$suite" install --print-uris --yes --no-install-recommends "$@" | sed -n "s/^'\([^']*\)' .*/\1/p" |
		grep -E "/($pattern|$(echo "$*" | tr ' ' '|'))_[^/]*\.deb\$"
}

for wanted in "$@"; do
	target="$cache/$wanted"
	[ -d "$target" ] && continue
	# shellcheck disable=SC2046 # a list of words
	set -- $(source_of "$wanted")
	apt_for "$1" -o APT::Update::Error-Mode=any update >&2 # old lists, or none, would give what the machine has
	addresses=$(archives "$@")
	[ -n "$addresses" ] || { echo "fetch.sh: $1 has no packages for $wanted" >&2 && exit 1; }
	rm -rf "$target.new" && mkdir -p "$target.new"
	for address in $addresses; do
		echo "fetching ${address##*/}" >&2
		/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$address" "$target.new/package.deb" >/dev/null
		dpkg-deb -x "$target.new/package.deb" "$target.new"
		rm "$target.new/package.deb"
	done
	mv "$target.new" "$target"
done
