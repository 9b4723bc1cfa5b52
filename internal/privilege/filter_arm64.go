package privilege

import "golang.org/x/sys/unix"

const architecture = unix.AUDIT_ARCH_AARCH64

// Calls that amd64 does not have, or has under another name.
var (
	allowedHere = []uint32{unix.SYS_FSTATAT, unix.SYS_GETRLIMIT}
	deadlyHere  []uint32
)
