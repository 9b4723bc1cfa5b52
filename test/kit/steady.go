package kit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// Steady is a load at a fixed rate: GETs of one key, whose moments are fixed before it begins.
type Steady struct {
	Address     string        // host:port of the server
	Rate        int           // commands per second, all connections together
	Connections int           // which take turns
	Commands    int           // in all
	Closed      bool          // a connection waits for its reply before it sends again; else it sends what is due at once
	Key, Value  string        // the value is that of the key
	Patience    time.Duration // the longest wait for a reply behind the last command; 0 for 10 s
}

// Latencies are the times of commands, each from the moment at which it was due until its reply was read, in ascending order. What
// could not be sent in time, because the server or this program was busy, is in them.
type Latencies []time.Duration

// Quantile returns the least latency that at least the share q of the commands did not exceed; 0 < q ≤ 1.
func (l Latencies) Quantile(q float64) time.Duration {
	return l[min(max(int(q*float64(len(l))+0.999999)-1, 0), len(l)-1)]
}

// steadyConn is one connection of a Steady.
type steadyConn struct {
	fd      int
	due     []time.Duration // of commands that are not answered, the oldest first
	sent    int             // of those: the others wait, in a closed loop
	arrived int             // bytes of the next reply
}

// steadyRun is a Steady at work.
type steadyRun struct {
	Steady
	request, reply []byte
	conns          []steadyConn
	epoll          int
	start          time.Time
	latencies      Latencies
	buffer         []byte
}

// Run connects, sends all commands, and returns when all are answered. It uses one thread, which sleeps until a command is due or a
// reply arrives.
func (s Steady) Run(ctx context.Context) (l Latencies, err error) {
	if s.Rate < 1 || s.Connections < 1 || s.Commands < 1 {
		return nil, errors.New("steady load: want a rate, connections and commands")
	}
	if s.Patience == 0 {
		s.Patience = 10 * time.Second
	}
	r := &steadyRun{
		Steady: s, request: resp.Request("GET", s.Key), reply: fmt.Appendf(nil, "$%d\r\n%s\r\n", len(s.Value), s.Value),
		latencies: make(Latencies, 0, s.Commands), buffer: make([]byte, 64<<10),
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.connect(); err != nil {
		return nil, fmt.Errorf("steady load: %w", err)
	}
	if err := r.loop(ctx); err != nil {
		return nil, fmt.Errorf("steady load: %w", err)
	}
	slices.Sort(r.latencies)
	return r.latencies, nil
}

func (r *steadyRun) connect() error {
	address, err := net.ResolveTCPAddr("tcp4", r.Address)
	if err != nil {
		return err
	}
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	for i := range r.Connections {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		r.conns = append(r.conns, steadyConn{fd: fd})
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())}); err != nil {
			return fmt.Errorf("connect to %s: %w", r.Address, err)
		}
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
			unix.SetNonblock(fd, true),
			unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}))
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *steadyRun) close() error {
	err := unix.Close(r.epoll)
	for _, c := range r.conns {
		err = errors.Join(err, unix.Close(c.fd))
	}
	return err
}

// loop sends each command when it is due, and reads replies meanwhile.
func (r *steadyRun) loop(ctx context.Context) error {
	r.start = time.Now()
	end := r.dueAt(r.Commands-1) + r.Patience
	events := make([]unix.EpollEvent, r.Connections)
	for next := 0; len(r.latencies) < r.Commands; {
		now := time.Since(r.start)
		for ; next < r.Commands && r.dueAt(next) <= now; next++ {
			c := &r.conns[next%r.Connections]
			c.due = append(c.due, r.dueAt(next))
			if err := r.send(c); err != nil {
				return err
			}
		}
		wait := end - now
		if next < r.Commands {
			wait = r.dueAt(next) - now
		}
		if wait <= 0 || ctx.Err() != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("%d of %d commands have no reply after %s", r.Commands-len(r.latencies), r.Commands, now))
		}
		n, err := waitFor(r.epoll, events, wait)
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			if err := r.receive(&r.conns[e.Fd]); err != nil {
				return err
			}
		}
	}
	return nil
}

// dueAt returns when command i is due, since the start.
func (r *steadyRun) dueAt(i int) time.Duration {
	return time.Duration(float64(i) / float64(r.Rate) * float64(time.Second))
}

// send sends what is due on a connection: at once, or as soon as nothing is outstanding.
func (r *steadyRun) send(c *steadyConn) error {
	for c.sent < len(c.due) && (!r.Closed || c.sent == 0) {
		n, err := unix.Write(c.fd, r.request)
		if err == nil && n != len(r.request) {
			err = unix.EAGAIN
		}
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		c.sent++
	}
	return nil
}

func (r *steadyRun) receive(c *steadyConn) error {
	n, err := unix.Read(c.fd, r.buffer)
	if err == nil && n == 0 {
		err = errors.New("the server closed the connection")
	}
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	now := time.Since(r.start)
	for _, b := range r.buffer[:n] {
		if c.sent == 0 || b != r.reply[c.arrived] {
			return fmt.Errorf("receive: not the value of the key: %q", r.buffer[:n])
		}
		if c.arrived++; c.arrived == len(r.reply) {
			r.latencies = append(r.latencies, now-c.due[0])
			c.due, c.sent, c.arrived = c.due[1:], c.sent-1, 0
		}
	}
	return r.send(c)
}

// waitFor is epoll_wait with nanoseconds.
func waitFor(epoll int, events []unix.EpollEvent, wait time.Duration) (int, error) {
	timeout := unix.NsecToTimespec(int64(wait))
	n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(epoll), Events: unix.POLLIN}}, &timeout, nil)
	if err == nil && n > 0 {
		n, err = unix.EpollWait(epoll, events, 0)
	}
	if err != nil && !errors.Is(err, unix.EINTR) {
		return 0, fmt.Errorf("wait for replies: %w", err)
	}
	return max(n, 0), nil
}
