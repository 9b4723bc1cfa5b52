package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

var rows = []row{
	{name: "nobody", what: "no neighbour at all"},
	{name: "pool", what: "a pool of 2,100 connections that each once sent a pipeline of 600 commands, and is idle", before: pool, check: checkPool},
	{name: "unanswered", what: "two connections with a million commands each that nobody answers", serve: swallow, before: unanswered},
	{name: "replies", what: "replies without requests on 2,000 connections, 50,000 a second", serve: swallow2000, beside: unasked},
	{name: "announcers", what: "connections that announce 512 MiB and reset; then the victim's take their place in memory", before: announcers, victim: arrive},
	{name: "tls", what: "bytes that look like TLS, as fast as they go", serve: swallow, beside: flood(tlsRecord())},
	{name: "tls-replies", what: "the same from the server's end", serve: utter(tlsRecord()), beside: listenTo},
	{name: "garbage", what: "bytes that are no protocol, as fast as they go", serve: swallow, beside: flood(bytes.Repeat([]byte{0x81, 3, 250, 7}, 1<<14))},
	{name: "endless-line", what: "a request whose line never ends", serve: swallow, beside: flood(bytes.Repeat([]byte("a"), 1<<16))},
	{name: "replica", what: "a replica whose primary sends as fast as it can", serve: primary, beside: replicate},
	{name: "nesting", what: "replies nested without end", serve: utter(bytes.Repeat([]byte("*1\r\n"), 1<<14)), beside: ask},
	{name: "wide", what: "arrays of millions of elements", serve: utter(append([]byte("*2000000\r\n"), bytes.Repeat([]byte("+a\r\n"), 2_000_000)...)), beside: ask},
	{name: "values", what: "values of a megabyte, written and read as fast as they go", beside: values},
	{name: "transaction", what: "transactions of 200,000 commands", beside: transactions},
	{name: "churn", what: "connections that are opened, used once and reset", beside: churn},
	{name: "crowd", what: "8,000 connections to one address, all waiting for a reply", serve: swallow, before: crowd},
	{name: "halves", what: "2,000 connections that each sent half a request", serve: swallow, before: halves},
	{name: "publish", what: "messages to 20 subscribers as fast as they go", beside: publish},
	{name: "monitor", what: "a client that monitors a busy server", beside: monitor},
	{name: "reload", what: "a configuration that changes 20 times a second", beside: reload},
	{name: "scrapers", what: "3,000 idle connections to /metrics and 60 slow readers", before: scrapers, check: checkServed},
}

// pool opens connections that each send one long pipeline, read its replies and stay.
func pool(s *scene) error {
	const pairs = 300
	requests := bytes.Repeat(append(resp.Request("SET", "k", "v"), resp.Request("GET", "k")...), pairs)
	for range 2100 {
		c, err := dial(neighbourPort)
		if err != nil {
			return err
		}
		s.atEnd(c.Close)
		if err := c.Send(requests); err != nil {
			return err
		}
		if _, err := c.Receive(2 * pairs); err != nil {
			return err
		}
	}
	return nil
}

// checkPool compares the counted and the lost commands of the pool with those of its server.
func checkPool(s *scene, last kit.Samples) error {
	calls, err := s.neighbour.Calls()
	if err != nil {
		return err
	}
	truth := 0.0
	for _, c := range calls {
		truth += c.Calls
	}
	counted := last.Sum("redis_commands_total", "name=neighbour")
	lost := last.Sum("redis_observer_unpaired_commands_total", "name=neighbour")
	if counted+lost != truth {
		return fmt.Errorf("the pool's server counted %.0f, the observer %.0f and %.0f as lost", truth, counted, lost)
	}
	return nil
}

// unanswered writes in pieces that are short enough to be copied whole.
func unanswered(s *scene) error {
	const batch = 1000
	requests := resp.Repeat(batch, "PING")
	for range 2 {
		c, err := dial(neighbourPort)
		if err != nil {
			return err
		}
		s.atEnd(c.Close)
		for i := range 1_040_000 / batch {
			if err := c.Send(requests); err != nil {
				return err
			}
			if i%10 == 0 {
				time.Sleep(time.Millisecond) // what is lost for want of room in the ring is another row's matter
			}
		}
	}
	return nil
}

// accepted are the server's ends of the connections of the row "replies".
var accepted struct {
	sync.Mutex
	conns []net.Conn
}

func swallow2000(s *scene) error {
	accepted.conns = nil
	return s.listen(func(conn net.Conn) {
		accepted.Lock()
		accepted.conns = append(accepted.conns, conn)
		accepted.Unlock()
		_, _ = io.Copy(io.Discard, conn)
	})
}

func unasked(s *scene) error {
	const connections, perSecond = 2000, 50_000
	for range connections {
		c, err := dial(neighbourPort)
		if err != nil {
			return err
		}
		s.atEnd(c.Close)
		go func() { _, _ = io.Copy(io.Discard, c.TCPConn) }()
	}
	began, sent := time.Now(), 0
	for next := 0; s.rest(time.Millisecond); {
		accepted.Lock()
		conns := accepted.conns
		accepted.Unlock()
		for due := int(time.Since(began).Seconds() * perSecond); sent < due && len(conns) > 0; sent++ {
			next = (next + 1) % len(conns)
			if _, err := conns[next].Write([]byte("+OK\r\n")); err != nil {
				return err
			}
		}
	}
	return nil
}

func announcers(s *scene) error {
	announcement := append([]byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n"), make([]byte, 4096)...)
	var open []*kit.Client // all at once, so that they lie at as many places in memory
	for range 200 {
		c, err := dial(neighbourPort)
		if err != nil {
			return err
		}
		if err := c.Send(announcement); err != nil {
			return err
		}
		open = append(open, c)
	}
	time.Sleep(100 * time.Millisecond)
	for _, c := range open {
		if err := c.Abort(); err != nil {
			return err
		}
	}
	return nil
}

// tlsRecord begins like a handshake and goes on with application data.
func tlsRecord() []byte {
	record := append([]byte{0x16, 3, 1, 0x40, 0}, make([]byte, 1<<14)...)
	data := append([]byte{0x17, 3, 3, 0x40, 0}, make([]byte, 1<<14)...)
	return append(record, bytes.Repeat(data, 7)...)
}

// flood writes something again and again until the victim is done.
func flood(text []byte) func(*scene) error {
	return func(s *scene) error {
		return repeatedly(s, 2, func(c *kit.Client) error { return c.Send(text) })
	}
}

// listenTo reads what a server sends.
func listenTo(s *scene) error {
	c, err := dial(neighbourPort)
	if err != nil {
		return err
	}
	return readUntilDone(s, c)
}

// ask sends one command, and reads whatever comes.
func ask(s *scene) error {
	c, err := dial(neighbourPort)
	if err != nil {
		return err
	}
	return errors.Join(c.Send(resp.Request("GET", "key")), readUntilDone(s, c))
}

// readUntilDone reads until the victim is done.
func readUntilDone(s *scene, c *kit.Client) error {
	defer c.Close()
	buffer := make([]byte, 1<<16)
	for s.Err() == nil {
		if _, err := c.Read(buffer); err != nil {
			return err
		}
	}
	return nil
}

// primary answers PSYNC and then sends a stream of commands without end.
func primary(s *scene) error {
	stream := resp.Repeat(1000, "SET", "key", strings.Repeat("v", 100))
	return s.listen(func(conn net.Conn) {
		if _, err := conn.Read(make([]byte, 1024)); err != nil {
			return
		}
		text := []byte("+FULLRESYNC " + strings.Repeat("a", 40) + " 0\r\n$5\r\nREDIS")
		for {
			if _, err := conn.Write(text); err != nil {
				return // the row is over
			}
			text = stream
		}
	})
}

func replicate(s *scene) error {
	c, err := dial(neighbourPort)
	if err != nil {
		return err
	}
	return errors.Join(c.Send(resp.Request("PSYNC", "?", "-1")), readUntilDone(s, c))
}

// repeatedly runs a client's work on a few connections until the victim is done.
func repeatedly(s *scene, connections int, work func(*kit.Client) error) error {
	errs := make([]error, connections)
	var wait sync.WaitGroup
	for i := range connections {
		wait.Go(func() {
			c, err := dial(neighbourPort)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close()
			for s.Err() == nil && errs[i] == nil {
				errs[i] = work(c)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// exchange writes requests in one write and reads n replies.
func exchange(c *kit.Client, requests []byte, n int) error {
	if err := c.Send(requests); err != nil {
		return err
	}
	_, err := c.Receive(n)
	return err
}

func values(s *scene) error {
	requests := append(resp.Request("SET", "large", strings.Repeat("v", 1<<20)), resp.Request("GET", "large")...)
	return repeatedly(s, 2, func(c *kit.Client) error { return exchange(c, requests, 2) })
}

func transactions(s *scene) error {
	const commands = 200_000
	requests := append(append(resp.Request("MULTI"), resp.Repeat(commands, "INCR", "n")...), resp.Request("EXEC")...)
	return repeatedly(s, 1, func(c *kit.Client) error {
		// Replies are read while requests are written, or both ends would wait for room.
		sent := make(chan error, 1)
		go func() { sent <- c.Send(requests) }()
		_, err := c.Receive(commands + 2)
		return errors.Join(err, <-sent)
	})
}

func churn(s *scene) error {
	errs := make([]error, 2)
	var wait sync.WaitGroup
	for i := range errs {
		wait.Go(func() {
			for s.Err() == nil && errs[i] == nil {
				c, err := dial(neighbourPort)
				if err != nil {
					errs[i] = err
					return
				}
				errs[i] = errors.Join(c.Send(resp.Request("PING")), c.Abort())
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// crowd opens connections that ask and get no answer. Both ends are in this process, which may have 20,000 files open.
func crowd(s *scene) error { return open(s, s.scale(8000), resp.Request("BLPOP", "list", "0")) }

func halves(s *scene) error {
	half := []byte("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$100000\r\n" + strings.Repeat("v", 1500))
	return open(s, 2000, half)
}

// open makes connections that send something and stay.
func open(s *scene, connections int, text []byte) error {
	for range connections {
		c, err := dial(neighbourPort)
		if err != nil {
			return err
		}
		s.atEnd(c.Close)
		if err := c.Send(text); err != nil {
			return err
		}
	}
	return nil
}

func publish(s *scene) error {
	for range 20 {
		c, err := dial(neighbourPort)
		if err != nil {
			return err
		}
		s.atEnd(c.Close)
		if _, err := c.Do("SUBSCRIBE", "news"); err != nil {
			return err
		}
		go func() { _, _ = io.Copy(io.Discard, c.TCPConn) }()
	}
	requests := resp.Repeat(16, "PUBLISH", "news", strings.Repeat("m", 100))
	return repeatedly(s, 1, func(c *kit.Client) error { return exchange(c, requests, 16) })
}

func monitor(s *scene) error {
	c, err := dial(neighbourPort)
	if err != nil {
		return err
	}
	s.atEnd(c.Close)
	if _, err := c.Do("MONITOR"); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(io.Discard, c.TCPConn) }()
	requests := resp.Repeat(16, "SET", "key", "value")
	return repeatedly(s, 2, func(c *kit.Client) error { return exchange(c, requests, 16) })
}

func reload(s *scene) error {
	for n := 0; s.rest(50 * time.Millisecond); n++ {
		more := fmt.Sprintf("  - {name: other, addresses: [\"*:%d\"]}\n", 24410+n%10)
		if err := errors.Join(s.observer.Configure(configuration+more), s.observer.Signal(syscall.SIGHUP)); err != nil {
			return err
		}
	}
	return nil
}

// scrapers opens connections to the observer's endpoint that ask for nothing, and ones that read as slowly as they can.
func scrapers(s *scene) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(observerPort))
	for i := range 3060 {
		conn, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			return nil //nolint:nilerr // refusing more connections is one way to bound them
		}
		s.atEnd(func() error {
			_ = conn.Close() // the observer may have closed it
			return nil
		})
		if i%50 == 0 {
			_, _ = fmt.Fprintf(conn, "GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n", address) // and nobody reads the answer
		}
	}
	return nil
}

// checkServed asks once more, as Prometheus would with its usual time limit.
func checkServed(s *scene, _ kit.Samples) error {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", observerPort))
	if err != nil {
		return fmt.Errorf("a scrape beside them: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("a scrape beside them: %s", response.Status)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, math.MaxInt32))
	return err
}
