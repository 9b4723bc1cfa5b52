package bpf

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/library"
)

// echoes are what an echo server got, by the port of the client, of its connections in turn.
type echoes struct {
	port    uint16
	serving sync.WaitGroup // of each connection
	lock    sync.Mutex
	got     map[uint16][]*strings.Builder
}

// mustServe starts an echo server by TLS, or in the clear if the configuration is nil. It closes a connection behind QUIT.
func mustServe(t *testing.T, config *tls.Config) *echoes {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	e := &echoes{port: uint16(listener.Addr().(*net.TCPAddr).Port), got: make(map[uint16][]*strings.Builder)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			e.serving.Go(func() { e.serve(conn, config) })
		}
	}()
	return e
}

func (e *echoes) serve(conn net.Conn, config *tls.Config) {
	port := uint16(conn.RemoteAddr().(*net.TCPAddr).Port)
	got := new(strings.Builder)
	e.lock.Lock()
	e.got[port] = append(e.got[port], got)
	e.lock.Unlock()
	if config != nil {
		conn = tls.Server(conn, config)
	}
	defer conn.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buffer)
		e.lock.Lock()
		got.Write(buffer[:n])
		e.lock.Unlock()
		if n > 0 {
			if _, err := conn.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil || string(buffer[:n]) == "QUIT" {
			return
		}
	}
}

func mustCertificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
}

// plaintext is what the probes reported of one TLS connection.
type plaintext struct {
	text    [2]strings.Builder // sent and received
	next    [2]uint32
	flags   uint8
	unseen  [2][]int // where in the text gaps of that reason are
	strange int      // events that do not follow from those before
	ended   bool     // nothing is sent any more
	alerts  int      // by which the other end said that it sends no more
	late    int      // events of what is sent behind that
}

// ends are the ports of a connection. A client may have the same port towards two servers.
type ends struct{ client, server uint16 }

// decrypted reads probes in a goroutine of its own, and keeps the plaintext of each connection.
type decrypted struct {
	lock  sync.Mutex
	conns map[ends][]*plaintext // in turn
	users map[uint32]bool       // processes that were reported
	plain map[ends]int          // bytes that are no plaintext
	done  <-chan struct{}
}

func decrypt(t *testing.T, probes *Probes) *decrypted {
	d := &decrypted{conns: make(map[ends][]*plaintext), users: make(map[uint32]bool), plain: make(map[ends]int)}
	d.done = readEach(t, probes, d.note)
	return d
}

func (d *decrypted) note(event *Event, payload []byte) {
	d.lock.Lock()
	defer d.lock.Unlock()
	key := ends{event.LocalPort, event.RemotePort}
	list := d.conns[key]
	switch event.Kind {
	case TLSUser:
		d.users[event.Seq] = true
	case Opened:
		d.conns[key] = append(list, new(plaintext))
	case Existing:
		if len(list) == 0 {
			d.conns[key] = append(list, new(plaintext))
		}
	case HalfClosed, Closed:
		if len(list) > 0 {
			list[len(list)-1].ended = true
		}
	case Ending:
		if event.Flags&Left == 0 {
			list[len(list)-1].alerts++
		}
	case Sent, Received, SentGap, ReceivedGap:
		if event.Flags&Plaintext == 0 {
			d.plain[key] += len(payload)
			return
		}
		list[len(list)-1].note(event, payload)
	}
}

func (p *plaintext) note(event *Event, payload []byte) {
	i := 0
	if event.Kind == Received || event.Kind == ReceivedGap {
		i = 1
	} else if p.ended {
		p.late++
	}
	if p.next[i] != event.Seq || p.flags != 0 && p.flags != event.Flags {
		p.strange++
	}
	p.flags, p.next[i] = event.Flags, event.Seq+event.Len
	p.text[i].Write(payload)
	switch {
	case event.Kind == Sent || event.Kind == Received:
	case event.Reason == GapUnseen:
		p.unseen[i] = append(p.unseen[i], p.text[i].Len())
	default:
		p.strange++
	}
}

// libssl returns the libssl that python3 has mapped, and its points.
func libssl(t *testing.T) (string, []Point) {
	t.Helper()
	const script = `import ssl; print([l.split()[-1] for l in open("/proc/self/maps") if "libssl" in l][0])`
	output, err := exec.Command("python3", "-c", script).CombinedOutput()
	require.NoError(t, err, "%s", output)
	path, err := filepath.EvalSymlinks(strings.TrimSpace(string(output)))
	require.NoError(t, err)
	return path, pointsOf(t, path)
}

// pointsOf returns the points of a library or program.
func pointsOf(t *testing.T, path string) []Point {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	found, err := library.Inspect(file)
	require.NoError(t, err)
	var points []Point
	for _, p := range found.Points {
		points = append(points, Point{p.Function, p.End, p.Offset, p.Frame, BIOCounters(found.BIOs)})
	}
	return points
}

// tlsProbes are probes that observe the clients of two servers.
type tlsProbes struct {
	*Probes
	tb           testing.TB
	path         string
	points       []Point
	secret, open *echoes
	*decrypted
}

func mustOpenTLS(t *testing.T) *tlsProbes {
	p := &tlsProbes{tb: t, secret: mustServe(t, mustCertificate(t)), open: mustServe(t, nil)}
	p.path, p.points = libssl(t)
	p.Probes = mustOpenWith(t, Options{
		RingSize: 16 << 20, MaxBytes: 1 << 20, FlushInterval: time.Millisecond, ClientPorts: []uint16{p.secret.port, p.open.port}, TLS: true,
	})
	if limit := p.TLSLimit(); limit != nil {
		_ = p.Close()
		p.Release()
		t.Skip(limit)
	}
	require.NoError(t, p.WatchTLS())
	require.NoError(t, p.WatchTLS(), "a second time")
	p.decrypted = decrypt(t, p.Probes)
	return p
}

// mustAttach attaches the library, and returns what detaches it.
func (p *tlsProbes) mustAttach() (detach func()) {
	p.tb.Helper()
	return p.mustAttachTo(p.path, p.points)
}

func (p *tlsProbes) mustAttachTo(path string, points []Point) (detach func()) {
	p.tb.Helper()
	program, err := p.PointProgram()
	require.NoError(p.tb, err)
	defer program.Close()
	attachment, err := p.BeginLibrary()
	require.NoError(p.tb, err)
	links, err := AttachPoints(program, path, points, attachment)
	require.NoError(p.tb, err)
	require.NoError(p.tb, p.LibraryAttached(attachment))
	return func() {
		require.NoError(p.tb, links.Close())
		require.NoError(p.tb, p.EndLibrary(attachment))
	}
}

// mustTalk runs a script, and calls one function before each quarter of its rounds. It returns the
// process, which has ended.
func (p *tlsProbes) mustTalk(name string, rounds int, before ...func()) *exec.Cmd {
	p.tb.Helper()
	script := exec.Command("python3", name, fmt.Sprint(p.secret.port), fmt.Sprint(p.open.port), fmt.Sprint(rounds), p.path)
	script.Stderr = os.Stderr
	in, err := script.StdinPipe()
	require.NoError(p.tb, err)
	out, err := script.StdoutPipe()
	require.NoError(p.tb, err)
	require.NoError(p.tb, script.Start())
	lines := bufio.NewReader(out)
	for i := range 4 {
		_, err := lines.ReadString('\n')
		require.NoError(p.tb, err)
		if i < len(before) && before[i] != nil {
			before[i]()
		}
		_, err = io.WriteString(in, "\n")
		require.NoError(p.tb, err)
	}
	require.NoError(p.tb, script.Wait())
	return script
}

// mustEnd closes the probes and waits until everything has been read.
func (p *tlsProbes) mustEnd() {
	p.tb.Helper()
	lost, err := p.Lost()
	require.NoError(p.tb, err)
	assert.Zero(p.tb, lost["ring_full"])
	assert.Zero(p.tb, lost["no_storage"])
	require.NoError(p.tb, p.Close())
	<-p.done
	p.secret.serving.Wait()
	p.open.serving.Wait()
}

// Of each of many connections that one thread uses in turn, or one inside a call for the other, the
// probes report exactly what passed, and as that of this connection.
func TestPlaintextOfEachSocket(t *testing.T) { withDuplicates(t, testPlaintextOfEachSocket) }

func testPlaintextOfEachSocket(t *testing.T) {
	for _, name := range []string{"testdata/tls.py", "testdata/nested.py"} {
		t.Run(name, func(t *testing.T) {
			p := mustOpenTLS(t)
			detach := p.mustAttach()
			script := p.mustTalk(name, 400)
			detach()
			p.mustEnd()

			assert.Equal(t, map[uint32]bool{uint32(script.Process.Pid): true}, p.users, "by the handshakes, which are not probed")
			require.Greater(t, len(p.secret.got), 10)
			for port, connections := range p.secret.got {
				require.Len(t, p.conns[ends{port, p.secret.port}], len(connections), "port %d", port)
				assert.Less(t, p.plain[ends{port, p.secret.port}], len(connections)*(24<<10), "ciphertext, which is that of the handshake and the first record")
				for i, got := range connections {
					p.conns[ends{port, p.secret.port}][i].assertWhole(t, got.String())
				}
			}
			for port, connections := range p.open.got {
				bytes := 0
				for i, got := range connections {
					assert.Zero(t, p.conns[ends{port, p.open.port}][i].text[0].Len(), "plaintext of a connection without TLS")
					bytes += 2 * got.Len()
				}
				assert.InDelta(t, bytes, p.plain[ends{port, p.open.port}], float64(30*len(connections)), "what was sent and received in the clear")
			}
		})
	}
}

// A connection of which no send began with a TLS record, and there were many, is not looked at any more, until another one has
// its socket. One with TLS is, also when its library is not probed.
func TestPlainConnectionsAreToldApart(t *testing.T) { withDuplicates(t, testPlainConnections) }

func testPlainConnections(t *testing.T) {
	p := mustOpenTLS(t)
	plain := func() (n int) {
		var word uint64
		table := p.owned.shared.Maps[observerMapTlsPlain]
		for slot := range table.MaxEntries() {
			require.NoError(t, table.Lookup(slot, &word))
			if sends := uint32(word); sends >= 64 && sends < 1<<30 {
				n++
			}
		}
		return n
	}
	talk := func(conn net.Conn, rounds int) {
		for range rounds {
			_, err := conn.Write([]byte("PING\r\n"))
			require.NoError(t, err)
			_, err = io.ReadFull(conn, make([]byte, 6))
			require.NoError(t, err)
		}
	}
	address := func(e *echoes) string { return fmt.Sprintf("127.0.0.1:%d", e.port) }

	secret, err := tls.Dial("tcp4", address(p.secret), &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer secret.Close()
	open, err := net.Dial("tcp4", address(p.open))
	require.NoError(t, err)
	defer open.Close()

	talk(secret, 200)
	talk(open, 63)
	assert.Zero(t, plain())
	talk(open, 1)
	assert.Equal(t, 1, plain())
	require.NoError(t, open.Close())
	assert.Eventually(t, func() bool { return plain() == 0 }, 5*time.Second, 10*time.Millisecond, "after the end of the connection")
	require.NoError(t, secret.Close())
	p.mustEnd()
}

// The alert of the other end is noticed, and once, also where the programs have duplicates that all pass each call.
func TestAlertIsNoticed(t *testing.T) {
	const script = `
import socket, ssl, sys
context = ssl._create_unverified_context()
s = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
s.sendall(b"QUIT")
assert s.recv(100) == b"QUIT"
assert s.recv(100) == b""
s.close()
`
	withDuplicates(t, func(t *testing.T) {
		p := mustOpenTLS(t)
		detach := p.mustAttach()
		output, err := exec.Command("python3", "-c", script, fmt.Sprint(p.secret.port)).CombinedOutput()
		require.NoError(t, err, "%s", output)
		detach()
		p.mustEnd()
		require.Len(t, p.conns, 1)
		for _, connections := range p.conns {
			require.Len(t, connections, 1)
			connections[0].assertWhole(t, "QUIT")
			assert.Equal(t, 1, connections[0].alerts)
		}
	})
}

// withDuplicates runs a test without duplicates of the programs of calls, and with those of a preemptible kernel.
func withDuplicates(t *testing.T, test func(t *testing.T)) {
	before := preemptibleHere
	defer func() { preemptibleHere = before }()
	for _, preemptible := range []bool{false, true} {
		preemptibleHere = func() bool { return preemptible }
		t.Run(fmt.Sprintf("preemptible=%t", preemptible), test)
	}
}

// assertWhole compares the plaintext of a connection with what the server got and sent back. The
// last 30 bytes may be unread at either end.
func (p *plaintext) assertWhole(t *testing.T, got string) {
	t.Helper()
	sent, received := p.text[0].String(), p.text[1].String()
	assert.NotEmpty(t, sent)
	assert.Equal(t, Plaintext|Whole, p.flags)
	assert.True(t, strings.HasPrefix(sent, got), "what was sent: %d bytes, not %d", len(sent), len(got))
	assert.LessOrEqual(t, len(sent)-len(got), 30)
	assert.True(t, strings.HasPrefix(got, received), "what was received")
	assert.LessOrEqual(t, len(sent)-len(received), 30)
	assert.Empty(t, p.unseen[0])
	assert.Empty(t, p.unseen[1])
	assert.Zero(t, p.strange)
}

// Where the application moves the ciphertext, plaintext of either direction that no probe saw is a
// gap at its place; also with BIOs that take less than they are given.
func TestPlaintextUnseenInMemory(t *testing.T) {
	p := mustOpenTLS(t)
	crypto := strings.Replace(p.path, "libssl", "libcrypto", 1)
	points := pointsOf(t, crypto)
	detach, detachCrypto := p.mustAttach(), p.mustAttachTo(crypto, points)
	const rounds = 80
	p.mustTalk("testdata/memory.py", rounds, nil, nil, func() { detachCrypto() }, func() { detachCrypto = p.mustAttachTo(crypto, points) })
	detach()
	detachCrypto()
	p.mustEnd()

	require.Len(t, p.secret.got, 2)
	for port, connections := range p.secret.got {
		require.Len(t, p.conns[ends{port, p.secret.port}], 1)
		c, got := p.conns[ends{port, p.secret.port}][0], connections[0].String()
		assert.Equal(t, Plaintext|Whole, c.flags)
		assert.Zero(t, c.strange)
		assert.True(t, c.text[0].String() == strings.Replace(got, "quarter 2, round 10;", "", 1), "what was sent, but for what no probe saw")
		assert.True(t, c.text[1].String() == strings.Replace(got, "quarter 1, round 10;", "", 1), "what was received, but for what no probe saw")
		assert.Equal(t, []int{strings.Index(got, "quarter 1, round 10;")}, c.unseen[1])
		assert.Contains(t, c.unseen[0], strings.Index(got, "quarter 2, round 10;"))
		assert.LessOrEqual(t, len(c.unseen[0]), rounds/4, "while what is written to BIOs was not seen")
	}
}

// Plaintext that the library had ready, and that was read while it was not attached, is a gap at its
// place, although the ciphertext has none.
func TestPlaintextReadAhead(t *testing.T) {
	p := mustOpenTLS(t)
	var detach func()
	attach := func() { detach = p.mustAttach() }
	p.mustTalk("testdata/ahead.py", 4, attach, func() { detach() }, attach)
	detach()
	p.mustEnd()

	require.Len(t, p.secret.got, 1)
	for port := range p.secret.got {
		require.Len(t, p.conns[ends{port, p.secret.port}], 1)
		c := p.conns[ends{port, p.secret.port}][0]
		assert.Equal(t, "first, last;again", c.text[1].String())
		assert.Equal(t, []int{len("first,")}, c.unseen[1])
		assert.Empty(t, c.unseen[0])
		assert.Zero(t, c.strange)
	}
}

// What a process has sent by a call that it did not survive is a gap at the end of its connection. What it has
// only written to a BIO in memory is none.
func TestPlaintextOfKilled(t *testing.T) {
	for kind, unfinished := range map[string]int{"socket": 300, "large": 40_000, "pair": 16384, "memory": 0, "closed": 0} {
		t.Run(kind, func(t *testing.T) {
			p := mustOpenTLS(t)
			crypto := strings.Replace(p.path, "libssl", "libcrypto", 1)
			detach, detachCrypto := p.mustAttach(), p.mustAttachTo(crypto, pointsOf(t, crypto))
			script := exec.Command("python3", "testdata/killed.py", fmt.Sprint(p.secret.port), kind, p.path)
			script.Stderr = os.Stderr
			err := script.Run()
			if kind == "closed" {
				require.NoError(t, err)
			} else {
				var exit *exec.ExitError
				require.ErrorAs(t, err, &exit)
				assert.Equal(t, "signal: killed", exit.Error())
			}
			time.Sleep(100 * time.Millisecond)
			detach()
			detachCrypto()
			p.mustEnd()

			require.Len(t, p.secret.got, 1)
			for port, connections := range p.secret.got {
				require.Len(t, p.conns[ends{port, p.secret.port}], 1)
				c, got := p.conns[ends{port, p.secret.port}][0], connections[0].String()
				assert.Equal(t, Plaintext|Whole, c.flags)
				assert.Zero(t, c.strange)
				assert.Zero(t, c.late, "reported behind the end of what is sent")
				require.True(t, strings.HasPrefix(got, c.text[0].String()))
				assert.Equal(t, unfinished, len(got)-c.text[0].Len(), "what the server got of the last call")
				if unfinished == 0 {
					assert.Empty(t, c.unseen[0])
				} else {
					assert.Equal(t, []int{c.text[0].Len()}, c.unseen[0])
				}
				assert.Empty(t, c.unseen[1])
			}
		})
	}
}

// talk uses one connection after the other, by TLS, from one goroutine. Every second buffer is on its
// stack, which has to grow in between.
func talk(t *testing.T, port uint16, rounds int) {
	var local [3000]byte
	for i := range rounds {
		conn, err := tls.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{InsecureSkipVerify: true})
		if !assert.NoError(t, err) {
			return
		}
		for n := range 40 {
			text := fmt.Appendf(nil, "round %d, %d, ", i, n)
			text = slices.Repeat(text, 1+n*n*n/60)
			if _, err := conn.Write(text); !assert.NoError(t, err) {
				return
			}
			buffer := local[:1+n*70]
			if n%2 == 0 {
				buffer = make([]byte, 1+n*1000)
			}
			for left := len(text); left > 0; {
				got, err := conn.Read(buffer)
				if !assert.NoError(t, err) {
					return
				}
				left -= got
			}
		}
		assert.NoError(t, conn.Close())
	}
}

// Of each connection of Go's crypto/tls, each used by one of many goroutines, the probes report
// exactly what passed. The program is this test.
func TestPlaintextOfGo(t *testing.T) {
	p := mustOpenTLS(t)
	p.path = "/proc/self/exe"
	p.points = pointsOf(t, p.path)
	detach := p.mustAttach()
	var talking sync.WaitGroup
	for range 30 {
		talking.Go(func() { talk(t, p.secret.port, 3) })
	}
	talking.Wait()
	detach()
	p.mustEnd()

	require.Greater(t, len(p.secret.got), 10)
	for port, connections := range p.secret.got {
		require.Len(t, p.conns[ends{port, p.secret.port}], len(connections), "port %d", port)
		for i, got := range connections {
			p.conns[ends{port, p.secret.port}][i].assertWhole(t, got.String())
		}
	}
}

// A library that is attached in mid-stream shows the rest of the connections that exist, and all of
// later ones. While it is detached plaintext passes unseen, and that is a gap in each connection
// that goes on afterwards.
func TestPlaintextInMidStream(t *testing.T) {
	p := mustOpenTLS(t)
	var detach func()
	attach := func() { detach = p.mustAttach() }
	p.mustTalk("testdata/tls.py", 400, nil, attach, func() { detach() }, attach)
	detach()
	p.mustEnd()

	seen := map[uint8]int{}
	unseen := 0
	for port, connections := range p.secret.got {
		for i, got := range connections {
			c := p.conns[ends{port, p.secret.port}][i]
			assert.Zero(t, c.strange)
			seen[c.flags]++
			switch {
			case len(c.unseen[0])+len(c.unseen[1]) > 0:
				unseen++
			case c.flags&Whole != 0: // perhaps not to its end
				n := min(got.Len(), c.text[0].Len())
				assert.True(t, got.String()[:n] == c.text[0].String()[:n], "from its beginning")
			case c.flags != 0 && i == len(connections)-1:
				assert.True(t, strings.Contains(got.String(), c.text[0].String()[:max(0, c.text[0].Len()-30)]))
			}
		}
	}
	assert.NotZero(t, seen[Plaintext], "a connection from the time before")
	assert.NotZero(t, seen[Plaintext|Whole], "a later connection")
	assert.NotZero(t, unseen, "a connection that went on while the library was detached")
}

func TestLibraries(t *testing.T) {
	p := new(Probes)
	for i := range tlsAttachments - 1 {
		attachment, err := p.BeginLibrary()
		require.NoError(t, err)
		require.EqualValues(t, i+1, attachment)
	}
	_, err := p.BeginLibrary()
	require.ErrorIs(t, err, errTooMany)
	delete(p.libraries.used, 7)
	attachment, err := p.BeginLibrary()
	require.NoError(t, err)
	assert.EqualValues(t, 7, attachment)
}

func TestCookies(t *testing.T) {
	for function, roles := range points {
		start, err := (&Point{Function: function, Frame: 0x18, Counters: BIOCounters{Read: 0x60, Written: 0x68}}).cookie(0xabc)
		require.NoError(t, err)
		assert.Equal(t, 0xabc<<48|0xd0c<<32|0x18<<16|uint64(roles.start), start, function)
		end, err := (&Point{Function: function, End: true}).cookie(1)
		assert.Equal(t, roles.end == 0, err != nil, function)
		if err == nil {
			assert.Equal(t, 1<<48|uint64(roles.end), end, function)
		}
	}
	_, err := (&Point{Function: "SSL_connect"}).cookie(1)
	require.Error(t, err)
}

// Probes without TLS have none of its maps, but for those of all connections, which are empty.
func TestTLSOff(t *testing.T) {
	probes := mustOpen(t)
	require.ErrorIs(t, probes.WatchTLS(), ErrNoTLS)
	require.ErrorIs(t, probes.TLSLimit(), errTLSOff)
	_, err := probes.PointProgram()
	require.ErrorIs(t, err, ErrNoTLS)
	for name := range tlsMaps {
		if slices.Contains(tlsEndMaps, name) {
			assert.EqualValues(t, 1, probes.owned.shared.Maps[name].MaxEntries(), name)
			continue
		}
		assert.Nil(t, probes.owned.shared.Maps[name], name)
	}
	require.NoError(t, probes.Close())
	probes.Release()
	require.ErrorIs(t, probes.WatchTLS(), os.ErrClosed)
	require.True(t, errors.Is(probes.LibraryAttached(1), os.ErrClosed))
}
