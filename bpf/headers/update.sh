#!/bin/sh
# Copies the libbpf headers in use from Debian's libbpf-dev 1.1.2, the version that is pinned here.
set -eu
cd "$(dirname "$0")"
cp /usr/include/bpf/bpf_helpers.h /usr/include/bpf/bpf_helper_defs.h /usr/include/bpf/bpf_core_read.h /usr/include/bpf/bpf_tracing.h .
# Beside each other, not in a folder of the system.
sed -i 's,<bpf/\(.*\)>,"\1",' bpf_helpers.h bpf_core_read.h bpf_tracing.h
