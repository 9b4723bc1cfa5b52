#!/bin/sh
# Runs the conformance test on every kernel of the matrix and on this one, and prints the table of kernels and backends.
# Files and the output of each kernel are kept in .cache/kernels.
#
# usage: run.sh [-only KERNEL,...]    for example run.sh -only 5.10,native
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
cache=.cache/kernels
mkdir -p "$cache"

"$here/fetch.sh" "$cache" 5.10 6.1 6.12 7.2
CGO_ENABLED=0 go build -o "$cache/redis-observer" ./cmd/redis-observer
CGO_ENABLED=0 go test -c -o "$cache/conformance.test" ./test/kernels/conformance
CGO_ENABLED=0 GOARCH=386 go test -c -ldflags '-s -w' -o "$cache/narrow.test" ./test/kernels/conformance
go build -o "$cache/matrix" ./test/kernels/matrix
"$here/initramfs.sh" "$cache/initramfs" "$here/conformance.job" "$cache/redis-observer" "$cache/conformance.test" "$cache/narrow.test" redis-server
exec "$cache/matrix" -cache "$cache" "$@"
