package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// childArgument makes this program one end of a ping-pong over its standard input and output.
const childArgument = "ping-pong-child"

const messageBytes = 64

// pingPong is a load that has nothing to do with Redis: two processes that send each other one short message in turn.
type pingPong struct {
	// connect makes the connection of one run.
	connect func() (near, far end, err error)
}

// end is what a process reads from and writes to; for a socket they are the same.
type end struct{ in, out *os.File }

func (e end) close() { _ = errors.Join(e.in.Close(), e.out.Close()) } // twice the same for a socket

func (pingPong) prepare(context.Context, *bench) error { return nil }
func (pingPong) step() int                             { return 1 }
func (pingPong) first() int                            { return 5000 }

func (l pingPong) run(ctx context.Context, n int) (s speed, err error) {
	near, far, err := l.connect()
	if err != nil {
		return s, fmt.Errorf("connect the ends: %w", err)
	}
	ping, report := child(ctx, near, strconv.Itoa(n))
	pong, _ := child(ctx, far)
	err = pong.Start()
	far.close() // the children have their own, and see the end of the connection only if nobody else holds it
	if err != nil {
		near.close()
		return s, fmt.Errorf("start a ping-pong: %w", err)
	}
	err = ping.Start()
	near.close()
	if err == nil {
		err = ping.Wait()
	}
	if err = errors.Join(err, pong.Wait()); err != nil {
		return s, fmt.Errorf("play ping-pong: %w: %s", err, report)
	}
	if _, err := fmt.Sscan(report.String(), &s.rate, &s.p99); err != nil {
		return s, fmt.Errorf("read the result of a ping-pong %q: %w", report, err)
	}
	return s, nil
}

func child(ctx context.Context, e end, args ...string) (*exec.Cmd, *bytes.Buffer) {
	command := exec.CommandContext(ctx, "/proc/self/exe", append([]string{childArgument}, args...)...)
	var stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = e.in, e.out, &stderr
	return command, &stderr
}

func overPipes() (near, far end, err error) {
	if far.in, near.out, err = os.Pipe(); err != nil {
		return near, far, err
	}
	if near.in, far.out, err = os.Pipe(); err != nil {
		return near, far, errors.Join(err, far.in.Close(), near.out.Close())
	}
	return near, far, nil
}

func overTCP() (near, far end, err error) {
	return overStream("tcp", fmt.Sprintf("127.0.0.1:%d", pingPort))
}

// overUnix connects by a bound path that is not observed.
func overUnix() (near, far end, err error) {
	folder, err := os.MkdirTemp("", "ping-pong")
	if err != nil {
		return near, far, err
	}
	defer os.RemoveAll(folder)
	return overStream("unix", filepath.Join(folder, "socket"))
}

func overSocketpair() (near, far end, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return near, far, err
	}
	near.in, far.in = os.NewFile(uintptr(pair[0]), "near"), os.NewFile(uintptr(pair[1]), "far")
	near.out, far.out = near.in, far.in
	return near, far, nil
}

func overStream(network, address string) (near, far end, err error) {
	listener, err := net.Listen(network, address)
	if err != nil {
		return near, far, err
	}
	defer func() { _ = listener.Close() }()
	a, err := net.Dial(network, listener.Addr().String())
	if err != nil {
		return near, far, err
	}
	defer a.Close()
	b, err := listener.Accept()
	if err != nil {
		return near, far, err
	}
	defer b.Close()
	if near.in, err = fileOf(a); err != nil {
		return near, far, err
	}
	if far.in, err = fileOf(b); err != nil {
		return near, far, errors.Join(err, near.in.Close())
	}
	near.out, far.out = near.in, far.in
	return near, far, nil
}

func fileOf(conn net.Conn) (*os.File, error) {
	return conn.(interface{ File() (*os.File, error) }).File()
}

// runChild is the end that begins, if an argument says how often, or the one that answers.
func runChild(args []string) error {
	if len(args) == 0 {
		_, err := io.CopyBuffer(struct{ io.Writer }{os.Stdout}, struct{ io.Reader }{os.Stdin}, make([]byte, messageBytes))
		return err
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 {
		return fmt.Errorf("play ping-pong %s times: not a number", args[0])
	}
	message := make([]byte, messageBytes)
	times := make([]time.Duration, n)
	start := time.Now()
	for i := range times {
		began := time.Now()
		if _, err := os.Stdout.Write(message); err != nil {
			return err
		}
		if _, err := io.ReadFull(os.Stdin, message); err != nil {
			return err
		}
		times[i] = time.Since(began)
	}
	elapsed := time.Since(start)
	slices.Sort(times)
	_, err = fmt.Fprintf(os.Stderr, "%f %d\n", float64(n)/elapsed.Seconds(), int64(times[n*99/100]))
	return err
}
