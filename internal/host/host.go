// Package host reads the kernel's clock and its tables, and distinguishes temporary shortages from permanent
// errors.
//
// It imports no other package of the project. Any goroutine may call its functions.
package host

import (
	"errors"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrFewDescriptors is the error for a lack of descriptors that is found before the kernel returns
// EMFILE.
var ErrFewDescriptors = errors.New("too few file descriptors")

// shortages are the errors of temporary conditions. They do not say whether a feature works on this
// machine.
var shortages = []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EAGAIN, unix.EINTR, ErrFewDescriptors}

// Shortage reports whether an error is temporary: too few descriptors, too little memory.
func Shortage(err error) bool {
	return slices.ContainsFunc(shortages, func(shortage error) bool { return errors.Is(err, shortage) })
}

// ThreadTime returns the CPU time of the calling thread in nanoseconds.
func ThreadTime() int64 { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

// clock reads a clock by a system call that Go's scheduler does not know of: others wake the
// scheduler's monitor thread, which then looks every 20 µs for a while.
func clock(id uintptr) int64 {
	var now unix.Timespec
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&now)), 0) // cannot fail for these clocks
	return now.Nano()
}

// Monotonic returns CLOCK_MONOTONIC in nanoseconds: the clock of the probes.
func Monotonic() int64 {
	return clock(unix.CLOCK_MONOTONIC)
}
