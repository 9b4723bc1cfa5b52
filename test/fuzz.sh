#!/usr/bin/env bash
# Runs every fuzzer of the module for the given time each: fuzz.sh 30s
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:?usage: fuzz.sh TIME}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Before Go 1.27 a fuzzer may fail without a finding if its time ends while a worker is busy (golang/go#75804).
out_of_time() {
	grep -q 'context deadline exceeded' "$log" && ! grep -q -e 'Failing input' -e 'panic:' "$log"
}

# By their sources: asking each package would compile and link its tests.
grep -rl --include='*_test.go' '^func Fuzz' bpf cmd internal test | xargs -n 1 dirname | sort -u | while read -r package; do
	for fuzzer in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$package"/*_test.go); do
		echo "== $package $fuzzer"
		go test -run '^$' -fuzz "^$fuzzer\$" -fuzztime "$time" -fuzzminimizetime 1s "./$package" </dev/null 2>&1 | tee "$log" || out_of_time
	done
done
