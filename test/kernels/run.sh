#!/bin/sh
# Runs the conformance test on kernels of the matrix and on this one, and prints the table of kernels and backends.
# Files and the output of each kernel are kept in .cache/kernels.
#
# usage: run.sh KERNEL,... [FLAG...]    for example run.sh 5.10,7.2-arm64,native; the flags are those of the matrix
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
cache=.cache/kernels
mkdir -p "$cache"
only=$1
shift

# shellcheck disable=SC2046 # a list
"$here/fetch.sh" "$cache" $(echo "$only" | tr , '\n' | grep -v '^native$')
CGO_ENABLED=0 go build -o "$cache/redis-observer" ./cmd/redis-observer
CGO_ENABLED=0 go test -c -o "$cache/conformance.test" ./test/kernels/conformance
CGO_ENABLED=0 GOARCH=386 go test -c -ldflags '-s -w' -o "$cache/narrow.test" ./test/kernels/conformance
go build -o "$cache/matrix" ./test/kernels/matrix
"$here/initramfs.sh" "$cache/initramfs-x86_64" "$here/conformance.job" \
	"$(command -v busybox)" "$cache/redis-observer" "$cache/conformance.test" "$cache/narrow.test" "$(command -v redis-server)"
case $only in
*-arm64*)
	"$here/userland.sh" "$cache" arm64
	CGO_ENABLED=0 GOARCH=arm64 go build -o "$cache/arm64/redis-observer" ./cmd/redis-observer
	CGO_ENABLED=0 GOARCH=arm64 go test -c -o "$cache/arm64/conformance.test" ./test/kernels/conformance
	LIBRARIES=$cache/arm64/root "$here/initramfs.sh" "$cache/initramfs-aarch64" "$here/conformance.job" \
		"$cache/arm64/root/bin/busybox" "$cache/arm64/redis-observer" "$cache/arm64/conformance.test" "$cache/arm64/root/usr/bin/redis-server"
	;;
esac
exec "$cache/matrix" -cache "$cache" -only "$only" "$@"
