package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// awaitRead waits until the server has read all that was sent to it, or has closed.
func (r *round) awaitRead(w *wire) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		n, err := queued(w)
		if err != nil || n == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server did not read %d bytes", n)
		}
	}
}

// queued returns how many bytes of a connection of this machine are on their way from this end to the program at the other.
func queued(w *wire) (int, error) {
	if conn, ok := w.Conn.(*net.UnixConn); ok {
		return queuedUnix(conn)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, err
	}
	here, there := hexAddress(w.LocalAddr()), hexAddress(w.RemoteAddr())
	n := 0
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		var unsent, unread int
		if len(fields) < 5 {
			continue
		}
		if _, err := fmt.Sscanf(fields[4], "%x:%x", &unsent, &unread); err != nil {
			continue // the title
		}
		switch {
		case fields[1] == here && fields[2] == there:
			n += unsent
		case fields[1] == there && fields[2] == here:
			n += unread
		}
	}
	return n, nil
}

// hexAddress writes an IPv4 address as /proc does: its last byte first, and the port.
func hexAddress(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || tcp.IP.To4() == nil {
		return ""
	}
	ip := tcp.IP.To4()
	return fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], tcp.Port)
}

// queuedUnix returns how much of what was sent on a Unix socket is not read, in bytes of the kernel's memory.
func queuedUnix(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int
	var failure error
	err = raw.Control(func(fd uintptr) { n, failure = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return n, errors.Join(err, failure)
}
