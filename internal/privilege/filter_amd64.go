package privilege

import "golang.org/x/sys/unix"

const architecture = unix.AUDIT_ARCH_X86_64

// Calls that arm64 does not have, or has under another name.
var (
	allowedHere = []uint32{unix.SYS_NEWFSTATAT, unix.SYS_EPOLL_WAIT, unix.SYS_POLL, unix.SYS_TIME, unix.SYS_ARCH_PRCTL, unix.SYS_GETRLIMIT}
	deadlyHere  = []uint32{unix.SYS_FORK, unix.SYS_VFORK}
)
