package privilege

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// User is the user ID and group ID of a process that was started as root. It belongs to no account
// and to no range from which systemd or container runtimes allocate. It is not nobody, whose other
// processes could send signals.
const User = 65521

// Leave changes from root to User if check succeeds with the permissions of User. On an error,
// including that of check, the process is unchanged. Capabilities stay permitted until Drop. For a
// process that is not root, Leave does nothing.
func Leave(check func() error) error {
	if os.Getuid() != 0 && os.Geteuid() != 0 {
		return nil
	}
	group := uintptr(os.Getgid())
	groups, err := unix.Getgroups()
	if err != nil {
		return fmt.Errorf("read supplementary groups: %w", err)
	}
	back := func(err error) error { // undoes all steps, also those not taken
		return errors.Join(err, setUsers(0, 0), setGroups(groups), setGroup(group, group))
	}
	if err := setGroup(User, group); err != nil {
		return fmt.Errorf("change the group: %w (needs CAP_SETGID)", err)
	}
	if err := setGroups(nil); err != nil {
		return back(fmt.Errorf("drop the supplementary groups: %w", err))
	}
	// Keep root as the saved user, to be able to return.
	if err := setUsers(User, 0); err != nil {
		return back(fmt.Errorf("change the user: %w (needs CAP_SETUID)", err))
	}
	if err := check(); err != nil {
		return back(err)
	}
	return errors.Join(
		allThreads(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0),
		setGroup(User, User),
		setUsers(User, User))
}

// setUsers sets the real and effective user ID, and the saved one.
func setUsers(id, saved uintptr) error { return allThreads(unix.SYS_SETRESUID, id, id, saved) }

func setGroup(id, saved uintptr) error { return allThreads(unix.SYS_SETRESGID, id, id, saved) }

func setGroups(groups []int) error {
	ids := make([]uint32, len(groups)+1) // one more, so that &ids[0] is valid
	for i, g := range groups {
		ids[i] = uint32(g)
	}
	return allThreads(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&ids[0])), 0)
}

// allThreads runs a system call on every thread.
func allThreads(trap, a, b, c uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(trap, a, b, c, 0, 0, 0); errno != 0 {
		return dropError(errno)
	}
	return nil
}
