#!/usr/bin/env bash
# Runs every fuzzer of the module for the given time each: fuzz.sh 30s
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:?usage: fuzz.sh TIME}
go list ./... | while read -r package; do
	for fuzzer in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "== $package $fuzzer"
		go test -run '^$' -fuzz "^$fuzzer\$" -fuzztime "$time" -fuzzminimizetime 1s "$package" </dev/null
	done
done
