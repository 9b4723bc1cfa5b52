package bpf

// The objects are committed, so that building needs Go alone. Regenerate with `make generate`
// (clang 14).
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -cflags "-O2 -g -Wall -Werror -mcpu=v3" -target amd64,arm64 -type event -type event_kind -type event_role -type event_flag -type gap_reason -type stream -type connect_failure -type loss -type consumer -type owner_size -type owner_event -type cgroup_event -type arrival_count -type arrivals_copy -type percpu_ring -type percpu_ring_slack -type stop_direction -type unix_name -type unix_path -type tls_role observer observer.bpf.c
