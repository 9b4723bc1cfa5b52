// Package host reads the clock of the kernel, and tells what is a shortage that passes from what is refused for good.
//
// It stands below everything that asks the kernel for something. All functions are safe for use by any goroutine.
package host

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// ErrFewDescriptors is the shortage that is noticed before the kernel refuses anything.
var ErrFewDescriptors = errors.New("too few file descriptors")

// shortages are what a machine or a process can have too little of for a while. That something failed for one says nothing about what works here.
var shortages = []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EAGAIN, unix.EINTR, ErrFewDescriptors}

// Shortage tells whether an error is one that passes: too few descriptors, too little memory.
func Shortage(err error) bool {
	return slices.ContainsFunc(shortages, func(shortage error) bool { return errors.Is(err, shortage) })
}

// Monotonic returns CLOCK_MONOTONIC in nanoseconds, which is the clock of the probes.
func Monotonic() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail for this clock
	return now.Nano()
}
