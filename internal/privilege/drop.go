package privilege

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNotSupported means that the binary was built with cgo, whose threads Go does not control.
var ErrNotSupported = errors.New("capabilities cannot be dropped by a binary built with cgo")

// Held returns the permitted capabilities of the calling thread.
func Held() (Set, error) {
	var data sets
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("read capabilities: %w", err)
	}
	return Set(data[0].Permitted) | Set(data[1].Permitted)<<32, nil
}

// sets is the form of the kernel: the lower 32 capabilities and the upper 32.
type sets [2]unix.CapUserData

func makeSets(effective, permitted Set) sets {
	return sets{
		{Effective: uint32(effective), Permitted: uint32(permitted)},
		{Effective: uint32(effective >> 32), Permitted: uint32(permitted >> 32)},
	}
}

// Drop drops all capabilities except keep, and returns the dropped ones. On an error they are
// unchanged. It also prevents other processes of the same user from reading the memory of this one.
func Drop(keep Set) (Set, error) {
	held, err := Held()
	if err != nil {
		return 0, err
	}
	header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, makeSets(held&keep, held&keep)
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return 0, dropError(errno)
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return 0, dropError(errno)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil { // applies to the process, not to a thread
		return 0, fmt.Errorf("disable core dumps and ptrace: %w", err)
	}
	return held &^ keep, nil
}

func dropError(errno syscall.Errno) error {
	if errno == unix.ENOTSUP {
		return ErrNotSupported
	}
	return fmt.Errorf("drop capabilities: %w", errno)
}

// Works reports whether task succeeds with only the capabilities keep. It runs task on a thread
// that ends with it.
func Works(keep Set, task func() error) bool {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked, so that the thread ends with the goroutine
		held, err := Held()
		if err == nil {
			// Keep the permitted set: if the thread still exists when Drop runs, Drop must succeed
			// on it too.
			header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, makeSets(held&keep, held)
			err = unix.Capset(&header, &data[0])
		}
		if err == nil {
			err = task()
			// If the thread still exists when Leave runs, Leave must succeed on it too.
			header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, makeSets(held, held)
			err = errors.Join(err, unix.Capset(&header, &data[0]))
		}
		result <- err
	}()
	return <-result == nil
}
