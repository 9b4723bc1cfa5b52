package attach

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/bpf"
)

func TestParseMappings(t *testing.T) {
	var c choice
	err := parseMappings(7, strings.NewReader(`55d0c0a00000-55d0c0a10000 r--p 00000000 fe:00 101   /usr/bin/server
55d0c0a10000-55d0c0b00000 r-xp 00010000 fe:00 101   /usr/bin/server
55d0c0b00000-55d0c0b01000 r-xp 00100000 fe:00 101   /usr/bin/server
7f0000000000-7f0000100000 r-xp 00000000 fe:00 102   /opt/a b/libcrypto.so.3 (deleted)
7f0000200000-7f0000300000 r-xp 00000000 fe:00 103   /usr/lib/libssl.so.3
7f0000400000-7f0000500000 r-xp 00000000 00:00 0     [vdso]
7f0000600000-7f0000700000 rwxp 00000000 00:00 0
7f0000800000-7f0000900000 r-xp 00000000 fe:00 104   /tmp/a\012b
not a line
`), func(m mapping) { c.add(m, "/usr/bin/server") })
	require.NoError(t, err)
	assert.Equal(t, []mapping{
		{pid: 7, area: "7f0000200000-7f0000300000", device: "fe:00", inode: 103, path: "/usr/lib/libssl.so.3"},
		{pid: 7, area: "55d0c0a10000-55d0c0b00000", device: "fe:00", inode: 101, path: "/usr/bin/server"},
		{pid: 7, area: "7f0000000000-7f0000100000", device: "fe:00", inode: 102, path: "/opt/a b/libcrypto.so.3", deleted: true},
		{pid: 7, area: "7f0000800000-7f0000900000", device: "fe:00", inode: 104, path: "/tmp/a\nb"},
	}, c.list())
}

// A process with many files keeps its program and those whose names say TLS.
func TestManyMappings(t *testing.T) {
	var c choice
	for i := range 10000 {
		c.add(mapping{inode: uint64(i + 1), path: "/lib/libtorch.so"}, "/bin/program")
	}
	c.add(mapping{inode: 10001, path: "/bin/program"}, "/bin/program")
	c.add(mapping{inode: 10002, path: "/lib/libgnutls.so.30"}, "/bin/program")
	c.add(mapping{inode: 10003, path: "/lib/libssl.so.3"}, "/bin/program")
	list := c.list()
	require.Len(t, list, mostMappings+3)
	assert.Equal(t, []uint64{10003, 10001, 10002}, []uint64{list[0].inode, list[1].inode, list[2].inode})
}

// What hangs is remembered, a few of these are allowed, and a late result is discarded.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{on: map[any]struct{}{}}
		release, discarded := make(chan struct{}), make(chan int, mostStuck)
		hang := func(on any) error {
			_, err := within(s, on, time.Now().Add(time.Second), func() (int, error) { <-release; return 7, nil }, func(n int) { discarded <- n })
			return err
		}
		for on := range mostStuck {
			require.ErrorIs(t, hang(on), errStuck)
			if on < mostStuck-1 {
				require.ErrorIs(t, hang(on), errStuck, "it is remembered")
			}
		}
		require.ErrorIs(t, hang("another"), errManyStuck)
		close(release)
		for range mostStuck {
			assert.Equal(t, 7, <-discarded)
		}
		synctest.Wait() // until it is forgotten
		require.NoError(t, hang("another"))
		_, err := within(s, "late", time.Now(), func() (int, error) { return 7, nil }, nil)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "no time is left to begin")
	})
}

// If the attaching process hangs, the observer gives it up.
func TestHangingProcess(t *testing.T) {
	defer func(d time.Duration) { askDeadline = d }(askDeadline)
	askDeadline = 50 * time.Millisecond
	ours, theirs, err := pair()
	require.NoError(t, err)
	defer theirs.Close()
	c, err := newChannel(ours)
	require.NoError(t, err)
	p := &fakeProbes{used: map[uint16]bool{}, ready: map[uint16]bool{}}
	a := newAttacher(p, slog.New(slog.DiscardHandler), c, nil)
	a.Look(1, false)
	require.Eventually(t, func() bool { return !a.Stats().Running }, 10*time.Second, time.Millisecond)
	require.NoError(t, a.Close())
	assert.Zero(t, p.inUse())
}

// The attaching process notices the end of the observer while it works.
func TestWhenClosed(t *testing.T) {
	ours, theirs, err := pair()
	require.NoError(t, err)
	c, err := newChannel(theirs)
	require.NoError(t, err)
	defer c.Close()
	ended := make(chan struct{})
	stop, err := c.whenClosed(func() { close(ended) })
	require.NoError(t, err)
	defer stop()
	select {
	case <-ended:
		t.Fatal("the other end is open")
	case <-time.After(20 * time.Millisecond):
	}
	ours.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("not noticed")
	}
}

// Probes are detached from a file that is written in place, and stay if only its times change.
func TestWritten(t *testing.T) {
	k, p := new(kernel), new(fakeProbes)
	a, _ := pairOf(t, k, p, nil)
	path := program(t)
	pid, stop := run(t, path)
	a.Look(pid, false)
	eventually(t, a, Outcome{OpenSSL, Covered}, 1)
	stop() // a program that runs cannot be written

	require.NoError(t, os.Chmod(path, 0o700)) //nolint:gosec // a program
	second, stop := run(t, path)
	a.Look(second, false)
	eventually(t, a, Outcome{OpenSSL, Covered}, 2)
	assert.Len(t, k.libraries(), 1, "it is attached already")
	stop()

	old, err := os.Stat(path)
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, point := range k.libraries()[1] {
		text[point.Offset] ^= 1
	}
	require.NoError(t, os.WriteFile(path, text, 0o700)) //nolint:gosec // a program
	require.NoError(t, os.Chtimes(path, old.ModTime(), old.ModTime()))
	require.Eventually(t, func() bool { return p.inUse() == 0 }, 10*time.Second, time.Millisecond)
	assert.Zero(t, a.Stats().Libraries[OpenSSL])
	assert.True(t, a.Stats().Running)
}

// A verdict belongs to the content of a file, and a failure is forgotten.
func TestVerdicts(t *testing.T) {
	s := newServer(channel{}, nil)
	id := identity{inode: 1}
	s.remember(id, verdict{result: Failed, detail: strings.Repeat("x", 4096), until: time.Now().Add(time.Hour)})
	v, found := s.recall(id, false)
	require.True(t, found)
	assert.Len(t, v.detail, len(reply{}.Detail))
	s.remember(id, verdict{result: Failed, until: time.Now().Add(-time.Second)})
	_, found = s.recall(id, false)
	assert.False(t, found)

	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte("a"), 0o600))
	file, err := openRegular(path, 0, nil)
	require.NoError(t, err)
	defer file.Close()
	before, err := identify(file)
	require.NoError(t, err)
	status, err := file.Stat()
	require.NoError(t, err)
	time.Sleep(20 * time.Millisecond) // longer than the step of the times of files
	require.NoError(t, os.WriteFile(path, []byte("b"), 0o600))
	require.NoError(t, os.Chtimes(path, status.ModTime(), status.ModTime()))
	after, err := identify(file)
	require.NoError(t, err)
	assert.NotEqual(t, before, after, "the owner can choose only mtime")

	for _, special := range []string{os.DevNull, t.TempDir()} {
		_, err := openRegular(special, 0, nil)
		assert.ErrorIs(t, err, errReplaced, special)
	}
}

// One process, or the processes of one user, cannot take all attachments.
func TestFull(t *testing.T) {
	s := newServer(channel{}, nil)
	for n := range mostOfUser {
		assert.Equal(t, n >= mostOfProcess, s.full(7, 2), n)
		assert.False(t, s.full(8, 1))
		s.attached[uint16(n+1)] = &attachment{user: 1, users: map[uint32]uint64{7: 1}}
	}
	assert.True(t, s.full(8, 1))
	assert.False(t, s.full(8, 2))
}

func TestForeign(t *testing.T) {
	for file, want := range map[string]Library{
		"libgnutls.so.30": GnuTLS, "libssl3.so": NSS, "libjvm.so": Java, "libnetty_tcnative_linux_x86_64.so": Java,
		"libssl.so.3": Unknown, "redis-server": Unknown,
	} {
		assert.Equal(t, want, foreign(file), file)
	}
}

func TestStarted(t *testing.T) {
	own := started(uint32(os.Getpid()))
	assert.NotZero(t, own)
	assert.LessOrEqual(t, started(1), own)
	assert.Zero(t, started(1<<22+1), "no process has this number")
	ended := exec.Command("true")
	require.NoError(t, ended.Start())
	assert.Eventually(t, func() bool { return started(uint32(ended.Process.Pid)) == 0 }, 5*time.Second, time.Millisecond, "it waits for its parent")
	require.NoError(t, ended.Wait())
}

// program builds a program whose own code has the functions of OpenSSL, and which runs until its
// input ends.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(path+".c", []byte(`
#include <unistd.h>
struct ssl { int (*method)(struct ssl *, const void *, int); };
int SSL_write(struct ssl *s, const void *b, int n) { return n < 0 ? -1 : s->method(s, b, n) + 1; }
int SSL_read(struct ssl *s, void *b, int n) { return n < 0 ? -1 : s->method(s, b, n) + 2; }
int main(void) { char c; return read(0, &c, 1); }
`), 0o600))
	output, err := exec.Command("gcc", "-O1", "-o", path, path+".c").CombinedOutput()
	require.NoError(t, err, "%s", output)
	return path
}

// run starts a program; stop ends it.
func run(t *testing.T, path string) (pid uint32, stop func()) {
	t.Helper()
	command := exec.Command(path)
	input, err := command.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	stop = sync.OnceFunc(func() {
		input.Close()
		_ = command.Wait()
	})
	t.Cleanup(stop)
	return uint32(command.Process.Pid), stop
}

// fakeLink is a link that can be passed on.
type fakeLink struct{ *os.File }

func (l fakeLink) FD() int { return int(l.Fd()) }

// kernel records what the attaching process attaches.
type kernel struct {
	lock     sync.Mutex
	attached map[uint16][]bpf.Point
	refuse   error
	hold     bool
	closed   atomic.Int32
}

// libraries returns what is or was attached, by attachment.
func (k *kernel) libraries() map[uint16][]bpf.Point {
	k.lock.Lock()
	defer k.lock.Unlock()
	return maps.Clone(k.attached)
}

func (k *kernel) attach(path string, points []bpf.Point, attachment uint16) (io.Closer, error) {
	k.lock.Lock()
	defer k.lock.Unlock()
	if k.refuse != nil {
		return nil, k.refuse
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	k.attached[attachment] = points
	if k.hold {
		return closer(func() error { k.closed.Add(1); return nil }), nil
	}
	file, err := os.Open(os.DevNull)
	return fakeLink{file}, err
}

type closer func() error

func (c closer) Close() error { return c() }

// fakeProbes record the attachments of the observer.
type fakeProbes struct {
	lock        sync.Mutex
	used, ready map[uint16]bool
	full        bool
}

func (p *fakeProbes) PointProgram() (*bpf.PointProgram, error) { return nil, errors.New("not here") }

func (p *fakeProbes) BeginLibrary() (uint16, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.full {
		return 0, errors.New("full")
	}
	n := uint16(1)
	for p.used[n] {
		n++
	}
	p.used[n] = true
	return n, nil
}

func (p *fakeProbes) LibraryAttached(n uint16) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.ready[n] = true
	return nil
}

func (p *fakeProbes) EndLibrary(n uint16) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	delete(p.used, n)
	delete(p.ready, n)
	return nil
}

func (p *fakeProbes) inUse() int {
	p.lock.Lock()
	defer p.lock.Unlock()
	return len(p.used)
}

// pairOf connects an Attacher with a server in this process. end ends the server.
func pairOf(t *testing.T, k *kernel, p *fakeProbes, releasing <-chan time.Time) (a *Attacher, end func()) {
	t.Helper()
	k.attached = map[uint16][]bpf.Point{}
	p.used, p.ready = map[uint16]bool{}, map[uint16]bool{}
	ours, theirs, err := pair()
	require.NoError(t, err)
	c, err := newChannel(theirs)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() {
		served <- newServer(c, k.attach).serve()
		c.Close()
	}()
	o, err := newChannel(ours)
	require.NoError(t, err)
	a = newAttacher(p, slog.New(slog.NewTextHandler(io.Discard, nil)), o, releasing)
	t.Cleanup(func() {
		require.NoError(t, a.Close())
		<-served
		assert.Zero(t, p.inUse(), "all are given back")
		s := a.Stats()
		for l, n := range s.Libraries {
			assert.Zero(t, n, l)
		}
	})
	return a, func() { _ = c.CloseRead(); _ = c.CloseWrite() }
}

func eventually(t *testing.T, a *Attacher, o Outcome, n uint64) {
	t.Helper()
	require.Eventually(t, func() bool { return a.Stats().Looks[o] == n }, 10*time.Second, time.Millisecond, "%v: %+v", o, a.Stats())
}

// A program is attached once, for all its processes, and given up after the last one.
func TestAttach(t *testing.T) {
	for _, hold := range []bool{false, true} {
		k, p, releasing := &kernel{hold: hold}, new(fakeProbes), make(chan time.Time)
		a, _ := pairOf(t, k, p, releasing)
		path := program(t)
		first, stopFirst := run(t, path)
		a.Look(first, false)
		eventually(t, a, Outcome{OpenSSL, Covered}, 1)
		assert.Equal(t, 1, a.Stats().Libraries[OpenSSL])
		require.Len(t, k.libraries(), 1)
		functions := map[string]int{}
		for _, point := range k.libraries()[1] {
			functions[point.Function]++
		}
		assert.GreaterOrEqual(t, functions["SSL_write"], 2)
		assert.GreaterOrEqual(t, functions["SSL_read"], 2)
		p.lock.Lock()
		assert.True(t, p.ready[1])
		p.lock.Unlock()
		assert.Equal(t, 1, p.inUse())

		second, stopSecond := run(t, path)
		a.Look(second, false)
		eventually(t, a, Outcome{OpenSSL, Covered}, 2)
		assert.Len(t, k.libraries(), 1, "it is attached already")

		third, stopThird := run(t, path) // never looked at
		require.NotZero(t, third)
		release := func() {
			releasing <- time.Now()
			releasing <- time.Now() // the first is done
		}
		stopFirst()
		stopSecond()
		release()
		assert.Equal(t, 1, a.Stats().Libraries[OpenSSL], "the third process uses it")
		stopThird()
		release()
		assert.Zero(t, a.Stats().Libraries[OpenSSL])
		assert.Zero(t, p.inUse())
		if hold {
			assert.EqualValues(t, 1, k.closed.Load())
		}

		again, _ := run(t, path)
		a.Look(again, false)
		eventually(t, a, Outcome{OpenSSL, Covered}, 3)
		assert.Equal(t, 1, a.Stats().Libraries[OpenSSL])
	}
}

// A file that was deleted is still attached to, and its replacement is another library.
func TestDeleted(t *testing.T) {
	mapped, err := filepath.Glob("/proc/self/map_files/*")
	require.NoError(t, err)
	if file, err := os.Open(append(mapped, "/proc/self/map_files/0-0")[0]); err == nil {
		_ = file.Close()
	} else if os.Getenv("REDIS_OBSERVER_TEST_REQUIRE") == "1" {
		t.Fatal("cannot open what a process has mapped: ", err)
	} else {
		t.Skip("needs CAP_CHECKPOINT_RESTORE, to open what a process has mapped: ", err)
	}
	a, _ := pairOf(t, new(kernel), new(fakeProbes), nil)
	path := program(t)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	old, _ := run(t, path)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, text, 0o755)) //nolint:gosec // a program
	replaced, _ := run(t, path)
	a.Look(old, false)
	eventually(t, a, Outcome{OpenSSL, Covered}, 1)
	a.Look(replaced, false)
	eventually(t, a, Outcome{OpenSSL, Covered}, 2)
	assert.Equal(t, 2, a.Stats().Libraries[OpenSSL])
}

func TestResults(t *testing.T) {
	k, p := &kernel{refuse: errors.New("no")}, new(fakeProbes)
	a, _ := pairOf(t, k, p, nil)
	pid, _ := run(t, program(t))
	a.Look(pid, false)
	eventually(t, a, Outcome{OpenSSL, Failed}, 1)
	assert.Zero(t, p.inUse())

	pid, _ = run(t, "/bin/cat") // no TLS that is known
	a.Look(pid, false)
	eventually(t, a, Outcome{Unknown, Unreadable}, 1)

	a.Look(1<<22+1, false)
	eventually(t, a, Outcome{Unknown, Gone}, 1)

	a.Look(pid, false)
	a.Look(pid, false)
	a.Look(pid, false)
	a.Look(1<<22+2, false)
	eventually(t, a, Outcome{Unknown, Gone}, 2)
	assert.EqualValues(t, 1, a.Stats().Looks[Outcome{Unknown, Unreadable}], "the process was looked at just now")

	p.lock.Lock()
	p.full = true
	p.lock.Unlock()
	a.Look(1<<22+3, false)
	eventually(t, a, Outcome{Unknown, Failed}, 1)
	assert.Zero(t, a.Stats().PassedOver)
}

// Thousands of processes cost a bounded number of looks.
func TestStorm(t *testing.T) {
	a, _ := pairOf(t, new(kernel), new(fakeProbes), nil)
	const processes = 20000
	begun := time.Now()
	for pid := range uint32(processes) {
		a.Look(1<<22+1+pid, false)
	}
	require.Eventually(t, func() bool {
		s := a.Stats()
		return s.Looks[Outcome{Unknown, Gone}]+s.PassedOver == processes
	}, 10*time.Second, time.Millisecond)
	assert.LessOrEqual(t, a.Stats().Looks[Outcome{Unknown, Gone}], uint64(burst+2)+uint64(time.Since(begun)/refill))
}

// What is attached stays attached when the attaching process ends.
func TestEndOfAttachingProcess(t *testing.T) {
	for _, hold := range []bool{false, true} {
		k, p := &kernel{hold: hold}, new(fakeProbes)
		a, end := pairOf(t, k, p, nil)
		pid, _ := run(t, program(t))
		a.Look(pid, false)
		eventually(t, a, Outcome{OpenSSL, Covered}, 1)
		end()
		other, _ := run(t, program(t))
		a.Look(other, false)
		require.Eventually(t, func() bool { return !a.Stats().Running }, 10*time.Second, time.Millisecond)
		left := 1
		if hold {
			left = 0 // its probes ended with it
		}
		assert.Equal(t, left, a.Stats().Libraries[OpenSSL])
		assert.Equal(t, left, p.inUse())
		a.Look(pid, false)
		require.Eventually(t, func() bool { return a.Stats().PassedOver > 0 }, 10*time.Second, time.Millisecond)
	}
}

// A message of another size ends the connection instead of being taken for another one.
func TestMessages(t *testing.T) {
	ours, theirs, err := pair()
	require.NoError(t, err)
	a, err := newChannel(ours)
	require.NoError(t, err)
	defer a.Close()
	b, err := newChannel(theirs)
	require.NoError(t, err)
	defer b.Close()

	sent := &reply{Result: Attached, Library: Go, Attachment: 9}
	sent.setDetail(strings.Repeat("x", 1000))
	file, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer file.Close()
	require.NoError(t, a.send(sent, int(file.Fd())))
	received := new(reply)
	passed, err := b.receive(received, replySize)
	require.NoError(t, err)
	require.NotNil(t, passed)
	passed.Close()
	assert.Equal(t, sent, received)
	assert.Len(t, received.detail(), len(received.Detail))
	received.Size = 65535
	assert.Len(t, received.detail(), len(received.Detail))

	for _, wrong := range [][]byte{{1}, make([]byte, replySize-1), make([]byte, replySize+1), make([]byte, 4*replySize)} {
		_, err := a.Write(wrong)
		require.NoError(t, err)
		_, err = b.receive(received, replySize)
		assert.ErrorIs(t, err, errMessage, len(wrong))
	}
	require.NoError(t, a.send(sent, -1))
	passed, err = b.receive(received, replySize)
	require.NoError(t, err)
	assert.Nil(t, passed)
	a.Close()
	_, err = b.receive(received, replySize)
	assert.ErrorIs(t, err, io.EOF)
}
