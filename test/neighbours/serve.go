package main

import (
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/redis-observer/redis-observer/test/kit"
)

// dial connects a client that reads in small calls: they make many events of a long value, and there are many clients.
func dial(port int) (*kit.Client, error) {
	return kit.DialAddress(fmt.Sprintf("127.0.0.1:%d", port), 1024)
}

// listen serves every connection to the neighbour's address with a function, until the row is over.
func (s *scene) listen(serve func(net.Conn)) error {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", neighbourPort))
	if err != nil {
		return err
	}
	var lock sync.Mutex
	var open []net.Conn
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed below
			}
			lock.Lock()
			open = append(open, conn)
			lock.Unlock()
			wait.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	s.atEnd(func() error {
		err := listener.Close()
		lock.Lock()
		for _, conn := range open {
			_ = conn.Close() // it may be closed
		}
		lock.Unlock()
		wait.Wait()
		return err
	})
	return nil
}

// swallow is a server that reads everything and says nothing.
func swallow(s *scene) error {
	return s.listen(func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
}

// utter is a server that reads what comes, and sends something again and again without being asked.
func utter(text []byte) func(*scene) error {
	return func(s *scene) error {
		return s.listen(func(conn net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			for {
				if _, err := conn.Write(text); err != nil {
					return // the row is over
				}
			}
		})
	}
}
