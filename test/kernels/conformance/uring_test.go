package conformance

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// uring is an io_uring that carries one operation at a time. Layouts and numbers: include/uapi/linux/io_uring.h.
type uring struct {
	fd          int
	lock        sync.Mutex // of a submission and the wait for its end
	submissions []byte     // head and tail of both rings, array of indices, completions
	entries     []byte
	offsets     uringOffsets
}

// uringOffsets are the offsets of the parts of the rings, from struct io_uring_params.
type uringOffsets struct {
	submissionTail, submissionMask, submissionArray uint32
	completionHead, completionTail, completionMask  uint32
	completions                                     uint32
}

const (
	uringSend    = 26 // IORING_OP_SEND
	uringReceive = 27 // IORING_OP_RECV

	uringEntryBytes      = 64
	uringCompletionBytes = 16
	uringGetEvents       = 1       // IORING_ENTER_GETEVENTS
	uringOneMapping      = 1       // IORING_FEAT_SINGLE_MMAP
	uringMapEntries      = 1 << 28 // IORING_OFF_SQES
)

func openUring() (*uring, error) {
	var parameters [30]uint32
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&parameters)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("set up io_uring: %w", errno)
	}
	if parameters[5]&uringOneMapping == 0 {
		return nil, errors.New("set up io_uring: before Linux 5.4")
	}
	submission, completion := parameters[10:20], parameters[20:30]
	r := &uring{fd: int(fd), offsets: uringOffsets{
		submissionTail: submission[1], submissionMask: submission[2], submissionArray: submission[6],
		completionHead: completion[0], completionTail: completion[1], completionMask: completion[2], completions: completion[5],
	}}
	size := max(int(r.offsets.submissionArray)+4, int(completion[5])+2*uringCompletionBytes)
	var err error
	if r.submissions, err = unix.Mmap(r.fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map rings: %w", err)
	}
	r.entries, err = unix.Mmap(r.fd, uringMapEntries, uringEntryBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map entries: %w", err)
	}
	return r, nil
}

// theUring is for all clients, which take turns.
var theUring = sync.OnceValues(openUring)

func (r *uring) word(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.submissions[offset])) }

// submit begins an operation; p must stay where it is until its end.
func (r *uring) submit(operation byte, fd int, p []byte) error {
	clear(r.entries)
	r.entries[0] = operation
	*(*int32)(unsafe.Pointer(&r.entries[4])) = int32(fd)
	*(*uint64)(unsafe.Pointer(&r.entries[16])) = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p))))
	*(*uint32)(unsafe.Pointer(&r.entries[24])) = uint32(len(p))
	tail := r.word(r.offsets.submissionTail)
	*r.word(r.offsets.submissionArray) = 0
	atomic.StoreUint32(tail, *tail+1)
	for {
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 1, 0, 0, 0, 0)
		if errno != unix.EINTR {
			return enterError(errno)
		}
	}
}

// result returns how the operation ended, if it has.
func (r *uring) result() (n int, ended bool, err error) {
	head := r.word(r.offsets.completionHead)
	if *head == atomic.LoadUint32(r.word(r.offsets.completionTail)) {
		return 0, false, nil
	}
	at := r.offsets.completions + (*head&*r.word(r.offsets.completionMask))*uringCompletionBytes
	value := int32(*r.word(at + 8))
	atomic.StoreUint32(head, *head+1)
	if value < 0 {
		return 0, true, unix.Errno(-value)
	}
	return int(value), true, nil
}

// wait returns how the operation ended.
func (r *uring) wait() (int, error) {
	for {
		if n, ended, err := r.result(); ended {
			return n, err
		}
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, 1, uringGetEvents, 0, 0)
		if errno != unix.EINTR && errno != 0 {
			return 0, enterError(errno)
		}
	}
}

func enterError(errno unix.Errno) error {
	if errno != 0 {
		return fmt.Errorf("enter io_uring: %w", errno)
	}
	return nil
}

func passThroughUring(operation byte) func(fd int, p []byte) (int, error) {
	return func(fd int, p []byte) (int, error) {
		r, err := theUring()
		if err != nil {
			return 0, err
		}
		r.lock.Lock()
		defer r.lock.Unlock()
		// Heap memory does not move, and a goroutine's stack only while it runs.
		if err := r.submit(operation, fd, p); err != nil {
			return 0, err
		}
		n, err := r.wait()
		runtime.KeepAlive(p)
		return n, err
	}
}
