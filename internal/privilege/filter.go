//go:build amd64 || arm64

package privilege

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Actions of the filter. The kernel logs the first two (audit record type 1326).
const (
	kill   = unix.SECCOMP_RET_KILL_PROCESS
	refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	absent = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	allow  = unix.SECCOMP_RET_ALLOW
)

// Filter restricts all threads, present and future, to the system calls of an attached observer.
// Other calls fail with EPERM, which a Go program survives, and are logged by the kernel; calls
// that execute or modify another program kill the process. Files can only be opened for reading,
// unless write is set, and memory cannot become executable. Filter is final, and must follow Drop.
func Filter(write bool) error {
	program, err := assemble(rules(write))
	if err != nil {
		return fmt.Errorf("assemble filter: %w", err)
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_LOG
	other, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&filter)))
	runtime.KeepAlive(program)
	switch {
	case errno != 0:
		return fmt.Errorf("filter system calls: %w", errno)
	case other != 0:
		return errors.New("filter system calls: another thread already has a seccomp filter")
	}
	return nil
}

// rule is the action for one system call.
type rule struct {
	call   uint32
	action uint32 // if test is nil or holds
	test   *test
}

// test is a condition on the lower 32 bits of one argument. If it does not hold, the call is
// refused.
type test struct {
	argument int
	without  uint32   // none of these bits is set
	with     uint32   // this bit is set
	oneOf    []uint32 // the argument is one of these values
}

// rules returns the rules, those of the hot path first.
func rules(write bool) []rule {
	var all []rule
	for _, call := range allowedCalls {
		all = append(all, rule{call: call, action: allow})
	}
	for _, call := range deadlyCalls {
		all = append(all, rule{call: call, action: kill})
	}
	self := uint32(os.Getpid())
	open := &test{argument: 2, without: unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC}
	if write {
		open = &test{argument: 2, without: unix.O_CREAT}
	}
	return append(all,
		rule{unix.SYS_OPENAT, allow, open},
		rule{unix.SYS_MMAP, allow, &test{argument: 2, without: unix.PROT_EXEC}},
		rule{unix.SYS_MPROTECT, allow, &test{argument: 2, without: unix.PROT_EXEC}},
		rule{unix.SYS_CLONE, allow, &test{argument: 0, with: unix.CLONE_THREAD}},
		rule{unix.SYS_CLONE3, absent, nil}, // its flags are in memory, which a filter cannot read; callers fall back to clone
		rule{unix.SYS_KILL, allow, &test{argument: 0, oneOf: []uint32{self}}},
		rule{unix.SYS_TGKILL, allow, &test{argument: 0, oneOf: []uint32{self}}},
		rule{unix.SYS_PRLIMIT64, allow, &test{argument: 0, oneOf: []uint32{0, self}}},
		rule{unix.SYS_PRCTL, allow, &test{argument: 0, oneOf: []uint32{unix.PR_SET_VMA, unix.PR_GET_DUMPABLE}}},
		rule{unix.SYS_IOCTL, allow, &test{argument: 1, oneOf: []uint32{unix.TCGETS, unix.PERF_EVENT_IOC_DISABLE}}},
		rule{unix.SYS_SOCKET, allow, &test{argument: 0, oneOf: []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}}},
		// Read and write maps, run iterators and own programs, attach own programs, end links. No loading, creating, pinning, or opening
		// by ID.
		rule{unix.SYS_BPF, allow, &test{argument: 0, oneOf: []uint32{
			unix.BPF_MAP_LOOKUP_ELEM, unix.BPF_MAP_UPDATE_ELEM, unix.BPF_MAP_DELETE_ELEM, unix.BPF_MAP_GET_NEXT_KEY,
			unix.BPF_MAP_LOOKUP_BATCH, unix.BPF_MAP_UPDATE_BATCH, unix.BPF_MAP_DELETE_BATCH, unix.BPF_OBJ_GET_INFO_BY_FD,
			unix.BPF_LINK_CREATE, unix.BPF_RAW_TRACEPOINT_OPEN, unix.BPF_LINK_DETACH, unix.BPF_ITER_CREATE, unix.BPF_PROG_DETACH,
			unix.BPF_PROG_RUN,
		}}},
	)
}

// Offsets in struct seccomp_data.
const (
	offsetCall         = 0
	offsetArchitecture = 4
	offsetArguments    = 16 // each of 8 bytes, lower half first
)

// assemble compiles rules. A call of another architecture kills the process; a call without a rule
// is refused.
func assemble(rules []rule) ([]unix.SockFilter, error) {
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetArchitecture, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: architecture, SkipTrue: 1},
		bpf.RetConstant{Val: kill},
		bpf.LoadAbsolute{Off: offsetCall, Size: 4},
	}
	for _, r := range rules {
		body := r.body()
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: r.call, SkipFalse: uint8(len(body))})
		program = append(program, body...)
	}
	raw, err := bpf.Assemble(append(program, bpf.RetConstant{Val: refuse}))
	if err != nil {
		return nil, err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return filter, nil
}

// body returns the instructions for a matching call. They always end with an action.
func (r rule) body() []bpf.Instruction {
	if r.test == nil {
		return []bpf.Instruction{bpf.RetConstant{Val: r.action}}
	}
	body := []bpf.Instruction{bpf.LoadAbsolute{Off: uint32(offsetArguments + 8*r.test.argument), Size: 4}}
	switch {
	case r.test.without != 0:
		return append(body, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: r.test.without, SkipTrue: 1},
			bpf.RetConstant{Val: r.action}, bpf.RetConstant{Val: refuse})
	case r.test.with != 0:
		return append(body, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: r.test.with, SkipFalse: 1},
			bpf.RetConstant{Val: r.action}, bpf.RetConstant{Val: refuse})
	}
	for _, value := range r.test.oneOf {
		body = append(body, bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipFalse: 1}, bpf.RetConstant{Val: r.action})
	}
	return append(body, bpf.RetConstant{Val: refuse})
}

// allowedCalls are allowed with any arguments: those of the Go runtime, of reading files, and of
// the network.
var allowedCalls = append([]uint32{
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_EPOLL_PWAIT, unix.SYS_READ, unix.SYS_WRITE,
	unix.SYS_CLOSE, unix.SYS_EPOLL_CTL, unix.SYS_SCHED_YIELD, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_MADVISE, unix.SYS_MUNMAP,
	unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGACTION, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_BRK, unix.SYS_MREMAP, unix.SYS_MINCORE, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_MEMBARRIER,
	unix.SYS_SCHED_GETAFFINITY, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY, unix.SYS_SETITIMER, unix.SYS_TIMER_CREATE,
	unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE, unix.SYS_TIMERFD_SETTIME, unix.SYS_GETRANDOM, unix.SYS_EPOLL_CREATE1, unix.SYS_EVENTFD2, unix.SYS_PIPE2,
	unix.SYS_PPOLL, unix.SYS_PSELECT6, unix.SYS_UNAME, unix.SYS_SYSINFO, unix.SYS_GETRUSAGE, unix.SYS_TIMES, unix.SYS_CAPGET,
	unix.SYS_GETPPID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
	unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_LSEEK, unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_FCNTL, unix.SYS_DUP, unix.SYS_DUP3,
	unix.SYS_GETDENTS64, unix.SYS_READLINKAT, unix.SYS_GETCWD, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_STATFS, unix.SYS_FSTATFS,
	unix.SYS_INOTIFY_INIT1, unix.SYS_INOTIFY_ADD_WATCH, unix.SYS_INOTIFY_RM_WATCH,
	unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT4, unix.SYS_ACCEPT, unix.SYS_SHUTDOWN, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SENDMSG, unix.SYS_RECVMSG,
}, allowedHere...)

// deadlyCalls kill the process: only an attacker would call them.
var deadlyCalls = append([]uint32{
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_MOUNT, unix.SYS_PIVOT_ROOT,
}, deadlyHere...)
