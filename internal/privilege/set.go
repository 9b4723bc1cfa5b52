package privilege

import (
	"math/bits"
	"strconv"
	"strings"
)

// Set is a set of capabilities, one bit each.
type Set uint64

// Of returns the set of capabilities such as unix.CAP_BPF.
func Of(capabilities ...int) Set {
	var s Set
	for _, c := range capabilities {
		s |= 1 << c
	}
	return s
}

// names are the capabilities by number (include/uapi/linux/capability.h), without CAP_.
var names = strings.Fields(`
	CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
	NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
	SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
	AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
	PERFMON BPF CHECKPOINT_RESTORE
`)

// Names returns the names of the capabilities in the set, by number.
func (s Set) Names() []string {
	list := []string{}
	for rest := s; rest != 0; rest &= rest - 1 {
		c := bits.TrailingZeros64(uint64(rest))
		name := strconv.Itoa(c) // of a newer kernel
		if c < len(names) {
			name = names[c]
		}
		list = append(list, "CAP_"+name)
	}
	return list
}
