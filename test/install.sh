#!/usr/bin/env bash
# Installs missing Debian packages for the tests and generators.
#   install.sh redis|bench|clang|kernels|arm64|places|nat|release|terminal|browser|suites
set -euo pipefail

packages() {
	case $1 in
	redis) have redis-server redis-cli redis-benchmark || echo redis-server redis-tools ;;
	bench) have redis-server redis-benchmark openssl || echo redis-server redis-tools openssl ;;
	clang) have clang-14 clang-format-14 llvm-strip-14 shellcheck || echo clang-14 clang-format-14 llvm-14 shellcheck ;;
	kernels) have qemu-system-x86_64 busybox cpio zstd || echo qemu-system-x86 busybox-static cpio zstd ;;
	arm64) have qemu-system-aarch64 || echo qemu-system-arm ;;
	places) have runc || echo runc ;;
	nat) have nft ip || echo nftables iproute2 ;;
	terminal) have tmux || echo tmux ;;
	release) for program in runc lintian rpm; do have "$program" || echo "$program"; done ;;
	browser) have chromium || echo chromium fonts-dejavu-core ;;
	suites) have tclsh8.6 python3 cc make openssl && [ -e /usr/include/openssl/ssl.h ] || echo tcl8.6 python3 gcc libc6-dev make openssl libssl-dev ;;
	*) echo "install.sh: unknown: $1 (redis, bench, clang, kernels, arm64, places, nat, release, terminal, browser or suites)" >&2 && exit 2 ;;
	esac
}

have() {
	local command
	for command; do command -v "$command" >/dev/null || return 1; done
}

missing=$(packages "$1")
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! have apt-get; then
	echo "install.sh: missing: $missing (tests that need them are skipped; as root: apt-get install $missing)" >&2
	exit 1
fi
echo "installing $missing"
# Keep packages from starting their services: the tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -f $policy' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
