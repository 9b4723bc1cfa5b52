package bpf

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"

	"github.com/redis-observer/redis-observer/internal/host"
)

// waiter waits for the rings.
type waiter struct {
	epoll  *os.File
	parked syscall.RawConn // of epoll
	fd     uintptr         // likewise
	wake   int             // eventfd
	timer  int             // of a long wait
	state  *ebpf.Variable
	events *ring
	pace   pace
	began  time.Duration // threadTime at the end of the last wait
	read   uint64        // position of the ring buffer at that time
}

func openWaiter(buffer *ebpf.Map, events *ring, state *ebpf.Variable, p pace) (*waiter, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	_ = unix.SetNonblock(fd, true) // only for os.NewFile, which then lets goroutines wait for it
	w := &waiter{epoll: os.NewFile(uintptr(fd), "epoll"), fd: uintptr(fd), state: state, events: events, pace: p, read: events.position}
	if w.parked, err = w.epoll.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("create epoll: %w", err), w.epoll.Close())
	}
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("create eventfd: %w", err), w.epoll.Close())
	}
	if w.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("create timer: %w", err), unix.Close(w.wake), w.epoll.Close())
	}
	for _, watched := range []int{buffer.FD(), w.wake, w.timer} {
		// Edge-triggered, because a ring with unread records would otherwise end each wait at once.
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(watched)}
		if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, watched, &event); err != nil {
			return nil, errors.Join(fmt.Errorf("add to epoll: %w", err), w.close())
		}
	}
	return w, nil
}

// threadTime returns the CPU time of the calling thread. If the waiting goroutine changes threads
// during a drain, which is rare, one interval is wrong.
func threadTime() time.Duration { return time.Duration(host.ThreadTime()) }

// wait waits as the pace says. Of the last drain, busy says whether there were events, and fill how
// much of the fullest per-CPU ring was read, from 0 to 1. Only one goroutine may call it.
func (w *waiter) wait(busy bool, fill float64) error {
	long, timeout := w.pace.next(drain{took: threadTime() - w.began, fill: fill, busy: busy, shared: w.events.position != w.read})
	state := observerConsumerCONSUMER_SHORT_WAIT
	if long {
		state = observerConsumerCONSUMER_LONG_WAIT
	}
	if err := w.state.Set(uint32(state)); err != nil {
		return fmt.Errorf("set consumer state: %w", err)
	}
	// An event that was written before the state changed has woken nobody.
	if long && w.events.end() != w.events.position {
		timeout = minInterval
	}
	if err := w.block(long, max(timeout, minInterval)); err != nil {
		return err
	}
	w.began, w.read = threadTime(), w.events.position
	if err := w.state.Set(uint32(observerConsumerCONSUMER_READING)); err != nil {
		return fmt.Errorf("set consumer state: %w", err)
	}
	return nil
}

// block waits for the epoll. A short wait is hidden from Go's scheduler, which would hand the CPU to
// another thread and check every 20 µs for a while whether the call has ended: several context
// switches for each wait. In a long wait the goroutine is parked like one that reads a socket, so
// that the scheduler has nothing to do and its monitor thread sleeps too. For the same reason a timer
// of the kernel ends it: one of Go's would wake two further threads.
func (w *waiter) block(long bool, timeout time.Duration) error {
	if !long {
		_, err := w.poll(timeout)
		return err
	}
	alarm := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(timeout))}
	if _, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(w.timer), 0, uintptr(unsafe.Pointer(&alarm)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("set timer: %w", errno)
	}
	var failure error
	err := w.parked.Read(func(uintptr) (done bool) {
		done, failure = w.poll(0)
		return done || failure != nil
	})
	return errors.Join(failure, err)
}

// poll returns after the timeout, or true if something happened before.
func (w *waiter) poll(timeout time.Duration) (bool, error) {
	var events [3]unix.EpollEvent
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, w.fd, uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(timeout.Milliseconds()), 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return false, fmt.Errorf("wait for ring buffer: %w", errno)
	}
	return errno == 0 && n > 0, nil
}

// interrupt ends the current or the next wait. Any goroutine may call it.
func (w *waiter) interrupt() {
	one := [8]byte{1}
	_, _ = unix.Write(w.wake, one[:]) // fails only if it is already signalled
}

func (w *waiter) close() error {
	return errors.Join(unix.Close(w.timer), unix.Close(w.wake), w.epoll.Close())
}
