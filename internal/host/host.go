// Package host reads the kernel's clock and its tables, and distinguishes temporary shortages from permanent
// errors.
//
// It imports no other package of the project. Any goroutine may call its functions.
package host

import (
	"errors"
	"slices"

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

// Monotonic returns CLOCK_MONOTONIC in nanoseconds: the clock of the probes.
func Monotonic() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail for this clock
	return now.Nano()
}
