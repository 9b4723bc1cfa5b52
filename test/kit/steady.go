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

// Steady is a load at fixed rates: GETs of one key, whose moments are fixed before it begins.
type Steady struct {
	Address     string        // host:port of the server
	Connections int           // which take turns
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

// SteadyLoad is a Steady with its connections. One goroutine may use it.
type SteadyLoad struct {
	Steady
	request, reply []byte
	conns          []steadyConn
	epoll          int
	rate, commands int // of the present run
	start          time.Time
	latencies      Latencies
	buffer         []byte
}

// Open connects. The caller closes the load.
func (s Steady) Open() (*SteadyLoad, error) {
	if s.Connections < 1 {
		return nil, errors.New("steady load: want connections")
	}
	if s.Patience == 0 {
		s.Patience = 10 * time.Second
	}
	l := &SteadyLoad{
		Steady: s, request: resp.Request("GET", s.Key), reply: fmt.Appendf(nil, "$%d\r\n%s\r\n", len(s.Value), s.Value),
		buffer: make([]byte, 64<<10),
	}
	if err := l.connect(); err != nil {
		return nil, errors.Join(fmt.Errorf("steady load: %w", err), l.Close())
	}
	return l, nil
}

// Run sends so many commands, rate per second on all connections together, and returns when all are answered. It uses one thread,
// which sleeps until a command is due or a reply arrives. After an error the load cannot run again.
func (l *SteadyLoad) Run(ctx context.Context, rate, commands int) (Latencies, error) {
	if rate < 1 || commands < 1 {
		return nil, errors.New("steady load: want a rate and commands")
	}
	l.rate, l.commands, l.latencies = rate, commands, make(Latencies, 0, commands)
	if err := l.loop(ctx); err != nil {
		return nil, fmt.Errorf("steady load: %w", err)
	}
	slices.Sort(l.latencies)
	return l.latencies, nil
}

func (l *SteadyLoad) connect() error {
	address, err := net.ResolveTCPAddr("tcp4", l.Address)
	if err != nil {
		return err
	}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	for i := range l.Connections {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		l.conns = append(l.conns, steadyConn{fd: fd})
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())}); err != nil {
			return fmt.Errorf("connect to %s: %w", l.Address, err)
		}
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
			unix.SetNonblock(fd, true),
			unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}))
		if err != nil {
			return err
		}
	}
	return nil
}

// Close closes the connections.
func (l *SteadyLoad) Close() error {
	err := unix.Close(l.epoll)
	for _, c := range l.conns {
		err = errors.Join(err, unix.Close(c.fd))
	}
	return err
}

// loop sends each command when it is due, and reads replies meanwhile.
func (l *SteadyLoad) loop(ctx context.Context) error {
	l.start = time.Now()
	end := l.dueAt(l.commands-1) + l.Patience
	events := make([]unix.EpollEvent, l.Connections)
	for next := 0; len(l.latencies) < l.commands; {
		now := time.Since(l.start)
		for ; next < l.commands && l.dueAt(next) <= now; next++ {
			c := &l.conns[next%l.Connections]
			c.due = append(c.due, l.dueAt(next))
			if err := l.send(c); err != nil {
				return err
			}
		}
		wait := end - now
		if next < l.commands {
			wait = l.dueAt(next) - now
		}
		if wait <= 0 || ctx.Err() != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("%d of %d commands have no reply after %s", l.commands-len(l.latencies), l.commands, now))
		}
		n, err := waitFor(l.epoll, events, wait)
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			if err := l.receive(&l.conns[e.Fd]); err != nil {
				return err
			}
		}
	}
	return nil
}

// dueAt returns when command i is due, since the start.
func (l *SteadyLoad) dueAt(i int) time.Duration {
	return time.Duration(float64(i) / float64(l.rate) * float64(time.Second))
}

// send sends what is due on a connection: at once, or as soon as nothing is outstanding.
func (l *SteadyLoad) send(c *steadyConn) error {
	for c.sent < len(c.due) && (!l.Closed || c.sent == 0) {
		n, err := unix.Write(c.fd, l.request)
		if err == nil && n != len(l.request) {
			err = unix.EAGAIN
		}
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		c.sent++
	}
	return nil
}

func (l *SteadyLoad) receive(c *steadyConn) error {
	n, err := unix.Read(c.fd, l.buffer)
	if err == nil && n == 0 {
		err = errors.New("the server closed the connection")
	}
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	now := time.Since(l.start)
	for _, b := range l.buffer[:n] {
		if c.sent == 0 || b != l.reply[c.arrived] {
			return fmt.Errorf("receive: not the value of the key: %q", l.buffer[:n])
		}
		if c.arrived++; c.arrived == len(l.reply) {
			l.latencies = append(l.latencies, now-c.due[0])
			c.due, c.sent, c.arrived = c.due[1:], c.sent-1, 0
		}
	}
	return l.send(c)
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
