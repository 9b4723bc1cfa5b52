package bpf

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
)

// The consumer's ways of waiting. While events come, it dozes: it wakes up by itself after an interval, and the probes
// wake it only past the fill mark. When none came for dozes intervals, it sleeps, and the first event wakes it. Between the
// two lies one interval in which the probes already wake it but it still looks by itself, so that an event whose probe
// read the state before it changed is not left lying.
const (
	dozes        = 20
	longestSleep = time.Second
	longestHold  = 10 * time.Millisecond // a wait that may keep its processor: garbage collection waits for it
)

// The interval goes by the work of a turn, the time of a processor that reading takes between two waits. What is observed has to wait for
// a turn where it has no processor to itself, so it should be short, but not much shorter than waking up, which takes 10 to 20 µs.
const (
	turn     = 25 * time.Microsecond
	shortest = time.Millisecond // less costs more than it gives
)

// waiter waits for the ring.
type waiter struct {
	epoll, wake int
	state       *ebpf.Variable
	longest     time.Duration // that an event may wait
	interval    time.Duration
	began       time.Duration // threadTime at the end of the last wait
	idle        int
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

// wait returns when events are to be expected. busy says whether there were any since the last wait.
func (w *waiter) wait(busy bool) error {
	w.interval = nextInterval(w.interval, threadTime()-w.began, w.longest)
	w.idle++
	if busy {
		w.idle = 0
	}
	state, timeout := observerConsumerCONSUMER_DOZING, w.interval
	if w.idle > dozes {
		state = observerConsumerCONSUMER_SLEEPING
	}
	if w.idle > dozes+1 {
		timeout = longestSleep
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

// nextInterval returns after how long the next turn is likely to take as long as it should, if the one after an interval took that long.
func nextInterval(interval, took, longest time.Duration) time.Duration {
	next := longest
	if took > 0 {
		next = interval * turn / took
	}
	return min(max(next.Round(time.Millisecond), shortest), longest)
}

// threadTime returns how much of a processor the calling thread has used. The goroutine that waits rarely changes threads, and then
// one interval is wrong.
func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // cannot fail for this clock
	return time.Duration(t.Nano())
}

// block waits on the epoll.
func (w *waiter) block(timeout time.Duration) error {
	var events [2]unix.EpollEvent
	call := unix.Syscall6
	if timeout <= longestHold {
		// Unknown to Go's scheduler, which would otherwise look every 20 µs whether the call is over, and hand the
		// processor on: several context switches for each of ours.
		call = unix.RawSyscall6
	}
	_, _, errno := call(unix.SYS_EPOLL_PWAIT, uintptr(w.epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(max(timeout.Milliseconds(), 1)), 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return fmt.Errorf("wait for ring buffer: %w", errno)
	}
	return nil
}

// interrupt ends the current or the next wait. Safe to call from any goroutine.
func (w *waiter) interrupt() {
	one := [8]byte{1}
	_, _ = unix.Write(w.wake, one[:]) // fails only if it is already signalled
}

func (w *waiter) close() error {
	return errors.Join(unix.Close(w.wake), unix.Close(w.epoll))
}
