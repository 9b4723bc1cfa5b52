package bpf

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
)

// Wait policy. While events arrive, the consumer waits with a timeout, the interval, and probes
// wake it only above the fill mark. After timedWaits intervals without an event, it waits until an
// event wakes it. In the first of these idle waits the timeout is still one interval, because a
// probe may have read the consumer's state just before it changed.
const (
	timedWaits  = 20
	maxIdleWait = time.Second
	maxHold     = 10 * time.Millisecond // the longest wait that keeps its CPU, which delays garbage collection
)

// The interval adapts so that one drain uses about drainTime of CPU. An observed process that
// shares the CPU has to wait for a drain. So a drain should be short, but not much shorter than a
// wake-up, which takes 10 to 20 µs.
const (
	drainTime   = 25 * time.Microsecond
	minInterval = time.Millisecond // a shorter one costs more CPU than it saves waiting
)

// waiter waits for the ring.
type waiter struct {
	epoll, wake int
	state       *ebpf.Variable
	longest     time.Duration // the largest interval
	interval    time.Duration // the timeout while events arrive
	began       time.Duration // threadTime at the end of the last wait
	idle        int           // waits in a row without events before them
}

func openWaiter(events *ebpf.Map, state *ebpf.Variable, longest time.Duration) (*waiter, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	w := &waiter{epoll: epoll, wake: wake, state: state, longest: longest, interval: longest}
	for _, fd := range []int{events.FD(), wake} {
		// Edge-triggered, because a ring with unread records would otherwise end each wait at once.
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(fd)}
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			return nil, errors.Join(fmt.Errorf("add to epoll: %w", err), w.close())
		}
	}
	return w, nil
}

// wait waits until an event may have arrived. busy says whether there were events since the last
// wait. Only one goroutine may call it.
func (w *waiter) wait(busy bool) error {
	w.interval = nextInterval(w.interval, threadTime()-w.began, w.longest)
	w.idle++
	if busy {
		w.idle = 0
	}
	state, timeout := observerConsumerCONSUMER_TIMED_WAIT, w.interval
	if w.idle > timedWaits {
		state = observerConsumerCONSUMER_IDLE_WAIT
	}
	if w.idle > timedWaits+1 {
		timeout = maxIdleWait
	}
	if err := w.state.Set(uint32(state)); err != nil {
		return fmt.Errorf("set consumer state: %w", err)
	}
	if err := w.block(timeout); err != nil {
		return err
	}
	w.began = threadTime()
	if err := w.state.Set(uint32(observerConsumerCONSUMER_READING)); err != nil {
		return fmt.Errorf("set consumer state: %w", err)
	}
	return nil
}

// nextInterval returns the interval after which a drain will use drainTime of CPU, if the drain
// after interval used took. It is between minInterval and longest.
func nextInterval(interval, took, longest time.Duration) time.Duration {
	next := longest
	if took > 0 {
		next = interval * drainTime / took
	}
	return min(max(next.Round(time.Millisecond), minInterval), longest)
}

// threadTime returns the CPU time of the calling thread. If the waiting goroutine changes threads,
// which is rare, one interval is wrong.
func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // cannot fail for this clock
	return time.Duration(t.Nano())
}

// block waits for the epoll.
func (w *waiter) block(timeout time.Duration) error {
	var events [2]unix.EpollEvent
	call := unix.Syscall6
	if timeout <= maxHold {
		// Hidden from Go's scheduler. It would check every 20 µs whether the call has ended, and
		// would hand the CPU to another thread: several context switches for each wait.
		call = unix.RawSyscall6
	}
	_, _, errno := call(unix.SYS_EPOLL_PWAIT, uintptr(w.epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(max(timeout.Milliseconds(), 1)), 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return fmt.Errorf("wait for ring buffer: %w", errno)
	}
	return nil
}

// interrupt ends the current or the next wait. Any goroutine may call it.
func (w *waiter) interrupt() {
	one := [8]byte{1}
	_, _ = unix.Write(w.wake, one[:]) // fails only if it is already signalled
}

func (w *waiter) close() error {
	return errors.Join(unix.Close(w.wake), unix.Close(w.epoll))
}
