#!/bin/sh
# Fetches the sources of clients and servers with their test suites, and what these need, as packages of Debian's suites. Nothing is
# installed; later runs reuse the files.
#
# usage: fetch.sh CACHE NAME...    for example fetch.sh .cache/suites redis-py hiredis
set -eu
# shellcheck source=test/apt.sh
. "$(dirname "$0")/../apt.sh"
project=$(cd "$(dirname "$0")/../.." && pwd)
cache=$(mkdir -p "$1" && cd "$1" && pwd)
shift
architecture=$(dpkg --print-architecture)

# source_of SUITE PACKAGE unpacks the source as its authors released it, into the folder.
source_of() {
	archive_type=deb-src apt_for "$1" "$architecture" update >/dev/null
	address=$(archive_type=deb-src apt_for "$1" "$architecture" source --print-uris "$2" 2>/dev/null | sed -n "s/^'\([^']*\.orig\.tar\.[a-z0-9]*\)' .*/\1/p")
	/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$address" source.tar >/dev/null
	tar -xf source.tar --strip-components=1
	rm source.tar
}

for wanted in "$@"; do
	[ -d "$cache/$wanted" ] && continue
	echo "fetching the test suite $wanted" >&2
	rm -rf "$cache/$wanted.new" && mkdir -p "$cache/$wanted.new"
	cd "$cache/$wanted.new"
	case $wanted in
	redis)
		source_of bookworm redis
		mkdir root
		unpack_into root "$architecture" bookworm none tcl-tls
		mkdir tests/tls
		openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out tests/tls/redis.dh # its script takes up to a minute for that
		./utils/gen-test-certs.sh 2>/dev/null >&2
		for program in server cli benchmark check-aof check-rdb; do ln -s "$(command -v "redis-$program")" src/; done
		;;
	redis-py)
		source_of forky python-redis
		mkdir root
		unpack_into root "$architecture" trixie 'python3-(exceptiongroup|iniconfig|packaging|pluggy)' \
			python3-pytest python3-pytest-asyncio python3-pytest-timeout python3-mock python3-jwt
		;;
	hiredis)
		source_of trixie hiredis
		make -s USE_SSL=1 hiredis-test >&2
		;;
	go-redis)
		cp -r "$(cd "$project" && go list -m -f '{{.Dir}}' github.com/redis/go-redis/v9)/." .
		chmod -R u+w .
		go test -pgo=off -vet=off -c -o go-redis.test .
		;;
	*) echo "fetch.sh: unknown name $wanted" >&2 && exit 2 ;;
	esac
	mv "$cache/$wanted.new" "$cache/$wanted"
done
