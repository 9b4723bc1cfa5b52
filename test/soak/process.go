package main

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// startObserver starts the program under test.
func startObserver(program string) (*kit.Observer, error) {
	return kit.StartObserver(kit.ObserverOptions{Program: program, Port: observerPort, Configuration: configuration(0)})
}

// configuration is valid, and says something else for every n.
func configuration(n int) string {
	return fmt.Sprintf(`capture: {ring_size: 64MiB}
endpoints:
  - {name: stable, addresses: ["*:%d"]}
  - {name: victim, addresses: ["*:%d"]}
  - {name: killed, addresses: ["*:%d"]}
  - {name: encrypted, addresses: ["127.0.0.1:%d"]}
  - {name: strange, addresses: ["127.0.0.2:%d"]}
  - {name: other, addresses: ["*:%d"]}
`, stablePort, victimPort, killedPort, encryptedPort, encryptedPort, 24300+n%2)
}

// keepReloading changes the file or sends SIGHUP; every third configuration is wrong.
func keepReloading(ctx context.Context, o *kit.Observer) {
	for n := 1; sleep(ctx, 2*time.Second); n++ {
		text := configuration(n)
		if n%3 == 0 {
			text = "ports: [none]\n"
		}
		_ = o.Configure(text)
		if n%2 == 0 {
			_ = o.Signal(syscall.SIGHUP)
		}
	}
}

// keepScrapingSlowly reads a few bytes of an answer at a time, and goes away before the end.
func keepScrapingSlowly(ctx context.Context) {
	for sleep(ctx, 500*time.Millisecond) {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", observerPort), time.Second)
		if err != nil {
			continue
		}
		fmt.Fprint(conn, "GET /metrics HTTP/1.1\r\nHost: soak\r\n\r\n")
		for range 10 {
			sleep(ctx, 100*time.Millisecond)
			_, _ = conn.Read(make([]byte, 64))
		}
		_ = conn.Close()
	}
}

// sleep returns false if the time is over.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
