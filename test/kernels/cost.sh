#!/bin/sh
# Counts the instructions of a GET on Debian's kernels, at both ends of the connection together, without the
# observer and with each backend. The clock of the guests counts instructions (-icount), so other work on the
# machine does not matter.
#
# usage: cost.sh [KERNEL...]    for example cost.sh 6.12
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
cache=.cache/kernels
[ $# -gt 0 ] || set -- 5.10 6.1 6.12 7.2

"$here/fetch.sh" "$cache" "$@" >&2
CGO_ENABLED=0 go build -o "$cache/redis-observer" ./cmd/redis-observer
"$here/initramfs.sh" "$cache/initramfs-cost" "$here/cost.job" "$(command -v busybox)" \
	"$cache/redis-observer" "$(command -v redis-server)" "$(command -v redis-benchmark)"
printf '%-8s%-12s%10s%14s%10s%10s\n' kernel backend pipeline 'per GET' probes process
for kernel; do
	timeout 10m qemu-system-x86_64 -accel tcg,thread=single -icount shift=0,sleep=off -cpu max -smp 1 -m 1024 \
		-nographic -no-reboot -nodefaults -serial stdio -kernel "$cache/$kernel/vmlinuz" -initrd "$cache/initramfs-cost" \
		-append 'console=ttyS0 panic=-1 quiet' >"$cache/cost-$kernel.log"
	grep -q '^COST kprobe 16' "$cache/cost-$kernel.log" || { tail -n 20 "$cache/cost-$kernel.log" >&2; exit 1; }
	awk -v kernel="$kernel" '$1 == "COST" {
		each = 1e9 / $4
		if ($2 == "none") none[$3] = each
		printf "%-8s%-12s%10d%14.0f%10.0f%10d\n", kernel, $2, $3, each, each - none[$3] - $5, $5
	}' "$cache/cost-$kernel.log"
done
