package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// speaker is a process with OpenSSL's library that speaks as it is told.
type speaker struct {
	tb      testing.TB
	orders  io.Writer
	answers *bufio.Reader
	dies    bool // it is killed by an order
}

// mustSpeaker starts a speaker, which finds its libraries in a folder first.
func mustSpeaker(tb testing.TB, libraries string) *speaker {
	tb.Helper()
	c := exec.Command("python3", "testdata/speaker.py")
	c.Env, c.Stderr = append(os.Environ(), "LD_LIBRARY_PATH="+libraries), os.Stderr
	orders, err := c.StdinPipe()
	require.NoError(tb, err)
	answers, err := c.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, c.Start())
	s := &speaker{tb: tb, orders: orders, answers: bufio.NewReader(answers)}
	tb.Cleanup(func() {
		_ = orders.Close()
		if err := c.Wait(); s.dies {
			assert.EqualError(tb, err, "signal: killed", "the speaker")
		} else {
			assert.NoError(tb, err, "the speaker")
		}
	})
	return s
}

// mustDie gives an order by which the speaker kills itself.
func (s *speaker) mustDie(format string, arguments ...any) {
	s.tb.Helper()
	s.dies = true
	_, err := fmt.Fprintf(s.orders, format+"\n", arguments...)
	require.NoError(s.tb, err)
	_, err = s.answers.ReadString('\n')
	require.ErrorIs(s.tb, err, io.EOF)
}

// must gives an order and returns the answer.
func (s *speaker) must(format string, arguments ...any) string {
	s.tb.Helper()
	order := fmt.Sprintf(format, arguments...)
	_, err := io.WriteString(s.orders, order+"\n")
	require.NoError(s.tb, err, order)
	answer, err := s.answers.ReadString('\n')
	require.NoError(s.tb, err, order)
	return strings.TrimSpace(answer)
}

// attachTime is what a machine under load may take to find a library and to attach to it.
const attachTime = time.Minute

// mustAttach has a client use new connections until the observer reads one from its beginning.
func (o *observer) mustAttach(ping func()) {
	o.tb.Helper()
	for deadline := time.Now().Add(attachTime); ; {
		before := o.mustScrape().commands("default")["ping"]
		ping()
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if o.mustScrape().commands("default")["ping"] == before+1 {
				return
			}
		}
		require.True(o.tb, time.Now().Before(deadline), "nothing was attached")
	}
}

// mustAttachTo attaches to the library of a speaker.
func (o *observer) mustAttachTo(s *speaker, port int) {
	o.tb.Helper()
	o.mustAttach(func() {
		s.must("open warm tls %d", port)
		s.must("ask warm 1 PING")
		s.must("close warm")
	})
}

// assertSince compares what was counted since a scrape with what the server counted since mustResetStats.
func (o *observer) assertSince(before snapshot, want counts) {
	o.tb.Helper()
	s := o.mustSee(fmt.Sprintf("%d commands", want.total()), func(s snapshot) bool {
		return s.commands("default").since(before.commands("default")).total() >= want.total()
	})
	assert.Equal(o.tb, want, s.commands("default").since(before.commands("default")))
	assert.Empty(o.tb, s.losses().since(before.losses()))
}

// A connection in use when the observer starts is read as soon as its library is attached and a silence shows where requests begin.
func TestEncryptedInMidStream(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			r := mustTLSRedis(t)
			s := mustSpeaker(t, "")
			s.must("open a tls %d", r.tlsPort)
			s.must("ask a 10 INCR before")
			o := mustObserver(t, fmt.Sprintf("ports: []\nendpoints: [{name: default, role: %s, addresses: [\"*:%d\"]}]\n", role, r.tlsPort))
			for deadline := time.Now().Add(attachTime); o.mustScrape().commands("default")["incr"] == 0; {
				require.True(t, time.Now().Before(deadline), "nothing was attached")
				s.must("ask a 1 INCR meanwhile")
				time.Sleep(300 * time.Millisecond)
			}
			time.Sleep(300 * time.Millisecond)
			before := o.mustScrape()
			r.mustResetStats()
			s.must("ask a 100 INCR after")
			s.must("ask a 1 SET k v")
			o.assertSince(before, r.mustStats())
		})
	}
}

// An upgrade replaces the file of a library while processes go on to use the old one.
func TestEncryptedByReplacedLibrary(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	folder := t.TempDir()
	found, err := filepath.Glob("/lib/*-linux-gnu/libssl.so.3")
	require.NoError(t, err)
	if len(found) == 0 {
		skip(t, "this machine has no libssl.so.3")
	}
	text, err := os.ReadFile(found[0])
	require.NoError(t, err)
	library := filepath.Join(folder, filepath.Base(found[0]))
	require.NoError(t, os.WriteFile(library, text, 0o600))

	r := mustTLSRedis(t)
	s := mustSpeaker(t, folder)
	s.must("open first tls %d", r.tlsPort)
	require.NoError(t, os.WriteFile(library+".new", text, 0o600))
	require.NoError(t, os.Rename(library+".new", library))
	o := mustObserver(t, observing(r.tlsPort))
	o.mustAttachTo(s, r.tlsPort)
	before := o.mustScrape()
	r.mustResetStats()
	s.must("open a tls %d", r.tlsPort)
	s.must("ask a 50 INCR old")
	o.assertSince(before, r.mustStats())

	newer := mustSpeaker(t, folder)
	o.mustAttachTo(newer, r.tlsPort)
	assert.Equal(t, 2, o.mustScrape().value("redis_observer_tls_libraries", "library=openssl"), "the old file and the new one")
	before = o.mustScrape()
	r.mustResetStats()
	newer.must("open b tls %d", r.tlsPort)
	newer.must("ask b 50 INCR new")
	s.must("ask a 50 INCR old")
	o.assertSince(before, r.mustStats())
}

// One thread uses three connections by turns; nothing of one is counted as another's.
func TestEncryptedBesidePlain(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	first, second := mustTLSRedis(t), mustTLSRedis(t)
	o := mustObserver(t, fmt.Sprintf(`ports: []
endpoints:
  - {name: default, addresses: ["*:%d"]}
  - {name: second, addresses: ["*:%d"]}
  - {name: plain, addresses: ["*:%d"]}
`, first.tlsPort, second.tlsPort, first.Port))
	s := mustSpeaker(t, "")
	o.mustAttachTo(s, first.tlsPort)
	before := o.mustScrape()
	s.must("open a tls %d", first.tlsPort)
	s.must("open b tls %d", second.tlsPort)
	s.must("open c plain %d", first.Port)
	for i := range 200 {
		s.must("send a %d INCR a", i%7+1)
		s.must("send c 2 APPEND c x")
		s.must("ask b 1 SADD b %d", i)
		s.must("read c 2")
		s.must("read a %d", i%7+1)
		if i%20 == 0 { // the descriptor and the object of a are used again for b
			s.must("close a")
			s.must("close b")
			s.must("open b tls %d", second.tlsPort)
			s.must("open a tls %d", first.tlsPort)
		}
	}
	want := map[string]counts{"default": {"incr": 0}, "second": {"sadd": 200}, "plain": {"append": 400}}
	for i := range 200 {
		want["default"]["incr"] += i%7 + 1
	}
	for name, w := range want {
		now := o.mustSee(name, func(s snapshot) bool {
			return s.commands(name).since(before.commands(name)).total() >= w.total()
		})
		assert.Equal(t, w, now.commands(name).since(before.commands(name)), name)
	}
	assert.Empty(t, o.mustScrape().losses().since(before.losses()))
}

// What a resumed session sends before and behind its shorter handshake is counted as any other.
func TestEncryptedSessionResumed(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	r := mustTLSRedis(t)
	o := mustObserver(t, observing(r.tlsPort))
	s := mustSpeaker(t, "")
	o.mustAttachTo(s, r.tlsPort)
	before := o.mustScrape()
	r.mustResetStats()
	for _, version := range []string{"1.2", ""} {
		s.must("open first tls %d %s", r.tlsPort, version)
		s.must("ask first 1 INCR n")
		s.must("close first")
		for range 20 {
			assert.Equal(t, "True", s.must("resume next %d %s", r.tlsPort, version))
			s.must("ask next 3 INCR n")
			s.must("close next")
		}
	}
	o.assertSince(before, r.mustStats())
}

// answer is what s_client prints when it has done an order, or has the reply.
var answer = regexp.MustCompile(`^(:\d+|KEYUPDATE|RENEGOTIATING)`)

// Keys are updated in mid-stream; a renegotiation is refused, after which the connection goes on or ends.
func TestEncryptedKeysChange(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		skip(t, "openssl is not installed")
	}
	r := mustTLSRedis(t)
	o := mustObserver(t, observing(r.tlsPort))
	// run gives orders to s_client, which takes one letter only at the start of what it reads: so each when the one before is answered.
	run := func(version string, orders ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), settled)
		defer cancel()
		c := exec.CommandContext(ctx, openssl, "s_client", "-brief", "-connect", fmt.Sprintf("127.0.0.1:%d", r.tlsPort), version)
		in, err := c.StdinPipe()
		require.NoError(t, err)
		out, err := c.StdoutPipe()
		require.NoError(t, err)
		c.Stderr = c.Stdout
		require.NoError(t, c.Start())
		for answers := bufio.NewScanner(out); len(orders) > 0; orders = orders[1:] {
			_, _ = io.WriteString(in, orders[0]+"\n") // it may have ended
			for answers.Scan() && !answer.MatchString(answers.Text()) {
			}
		}
		_ = in.Close()
		_ = c.Wait() // a refused renegotiation is an error
	}
	s := mustSpeaker(t, "") // keeps the library in use
	o.mustAttachTo(s, r.tlsPort)
	before := o.mustScrape()
	r.mustResetStats()
	run("-tls1_3", "INCR n", "K", "INCR n", "k", "INCR n", "K", "INCR n", "Q")
	assert.Equal(t, counts{"incr": 4}, r.mustStats(), "all keys were changed")
	o.assertSince(before, r.mustStats())
	run("-tls1_2", "INCR n", "R", "INCR n", "Q")
	o.assertSince(before, r.mustStats())
}

// A client that has shut down its sending side still reads, whether an alert said so or a FIN.
func TestEncryptedHalfClosed(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	r := mustTLSRedis(t)
	o := mustObserver(t, observing(r.tlsPort))
	dial := func() *tls.Conn {
		c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.tlsPort), r.certificate.ClientConfig())
		require.NoError(t, err)
		return c
	}
	use := func(c *tls.Conn, requests []byte, replies int, shut func(*tls.Conn) error) {
		t.Helper()
		_, err := c.Write(requests)
		require.NoError(t, err)
		if shut != nil {
			require.NoError(t, shut(c))
		}
		from := bufio.NewReader(c)
		for range replies {
			_, err := resp.Read(from)
			require.NoError(t, err)
		}
		_ = c.Close() // an alert cannot be sent on what is shut
	}
	o.mustAttach(func() { use(dial(), request("PING"), 1, nil) })
	s := mustSpeaker(t, "")
	o.mustAttachTo(s, r.tlsPort)
	before := o.mustScrape()
	r.mustResetStats()
	for range 20 {
		use(dial(), repeat(3, "INCR", "n"), 3, (*tls.Conn).CloseWrite)
		use(dial(), repeat(3, "INCR", "n"), 3, func(c *tls.Conn) error { return c.NetConn().(*net.TCPConn).CloseWrite() })
		s.must("open a tls %d", r.tlsPort)
		s.must("send a 3 INCR n")
		s.must("half a")
		s.must("read a 3")
		s.must("close a")
	}
	o.assertSince(before, r.mustStats())
	o.mustSeePool("default", 0, 0)
}

// mustEndByAlert starts a server that answers PING, and any other request by the end of its stream in TLS. Its FIN follows only that of
// the client. It returns the port.
func mustEndByAlert(t *testing.T) int {
	t.Helper()
	certificate, err := kit.NewCertificate(t.TempDir())
	require.NoError(t, err)
	pair, err := tls.LoadX509KeyPair(certificate.File, certificate.Key)
	require.NoError(t, err)
	listener, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	serve := func(conn *tls.Conn) {
		defer conn.Close()
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			switch {
			case err != nil:
				return
			case strings.Contains(strings.ToUpper(string(buffer[:n])), "PING"):
				_, _ = io.WriteString(conn, "+PONG\r\n")
			default:
				_ = conn.CloseWrite()
				_, _ = io.Copy(io.Discard, conn.NetConn()) // a client that announces its own end is still there
				return
			}
		}
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn.(*tls.Conn))
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// A server that ends a connection says so in TLS first. A client that closes before the FIN comes did not give up its command: the
// server has closed.
func TestEncryptedEndedByAlert(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	port := mustEndByAlert(t)
	o := mustObserver(t, observing(port))
	s := mustSpeaker(t, "")
	dial := func(version uint16) *tls.Conn {
		c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{InsecureSkipVerify: true, MaxVersion: version}) //nolint:gosec // a test
		require.NoError(t, err)
		return c
	}
	ask := func(c *tls.Conn, command string) error {
		_, err := c.Write(request(command, "k"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 100))
		return err
	}
	byOpenSSL := func(kind, version string) func() {
		o.mustAttach(func() {
			s.must("open warm %s %d %s", kind, port, version)
			s.must("ask warm 1 PING")
			s.must("close warm")
		})
		return func() {
			s.must("open a %s %d %s", kind, port, version)
			s.must("ask a 1 PING")
			s.must("send a 1 GET k")
			s.must("end a")
		}
	}
	byGo := func(version uint16) func() {
		o.mustAttach(func() {
			c := dial(version)
			defer c.Close()
			require.NoError(t, ask(c, "PING"))
		})
		return func() {
			c := dial(version)
			require.NoError(t, ask(c, "PING"))
			require.ErrorIs(t, ask(c, "GET"), io.EOF)
			require.NoError(t, c.Close())
		}
	}
	for name, use := range map[string]func(){
		"OpenSSL": byOpenSSL("tls", ""), "OpenSSL, TLS 1.2": byOpenSSL("tls", "1.2"), "BIOs in memory": byOpenSSL("memory", ""),
		"BIOs in memory, TLS 1.2": byOpenSSL("memory", "1.2"), "Go": byGo(tls.VersionTLS13), "Go, TLS 1.2": byGo(tls.VersionTLS12),
	} {
		before := o.mustScrape()
		use()
		now := o.mustSee(name, func(s snapshot) bool { return s.commands("default")["get"] == before.commands("default")["get"]+1 })
		count := func(metric, label string) int { return now.sum(metric, label) - before.sum(metric, label) }
		assert.Equal(t, 1, count("redis_observer_unanswered_commands_total", "reason=server_closed"), name)
		assert.Zero(t, count("redis_observer_unanswered_commands_total", "reason=client_closed"), name)
		assert.Equal(t, 1, count("redis_commands_total", "status=error"), name)
	}
}

// A client that closes sends its alert first, at which a server closes too. The client gave up, although the FIN of the server came first.
func TestEncryptedGivenUpByAlert(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	r := mustTLSRedis(t)
	o := mustObserver(t, observing(r.tlsPort))
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		dial := func() *tls.Conn {
			c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.tlsPort), &tls.Config{InsecureSkipVerify: true, MaxVersion: version}) //nolint:gosec // a test
			require.NoError(t, err)
			return c
		}
		o.mustAttach(func() {
			c := dial()
			defer c.Close()
			_, err := c.Write(request("PING"))
			require.NoError(t, err)
			_, err = c.Read(make([]byte, 100))
			require.NoError(t, err)
		})
		before := o.mustScrape()
		c := dial()
		_, err := c.Write(request("BLPOP", "nothing", "0"))
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, c.CloseWrite())
		_, err = io.Copy(io.Discard, c.NetConn()) // up to the FIN
		require.NoError(t, err)
		require.NoError(t, c.NetConn().Close())
		now := o.mustSee("the end", func(s snapshot) bool { return s.commands("default")["blpop"] == before.commands("default")["blpop"]+1 })
		count := func(metric, label string) int { return now.sum(metric, label) - before.sum(metric, label) }
		assert.Equal(t, 1, count("redis_observer_unanswered_commands_total", "reason=client_closed"), version)
		assert.Zero(t, count("redis_commands_total", "status=error"), version)
	}
}

// Plaintext that no probe saw is a loss, and never shifts what is counted behind it.
func TestEncryptedUnseen(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	r := mustTLSRedis(t)
	o := mustObserver(t, observing(r.tlsPort))
	s := mustSpeaker(t, "")
	o.mustAttachTo(s, r.tlsPort)
	before := o.mustScrape()
	s.must("open a tls %d", r.tlsPort)
	s.must("ask a 5 INCR n")
	s.must("unseen a LPUSH n wrong")
	s.must("ask a 5 INCR n")
	time.Sleep(300 * time.Millisecond) // silence, after which a request is a boundary
	s.must("ask a 1 SADD s x")
	now := o.mustSee("the command behind the silence", func(s snapshot) bool { return s.commands("default")["sadd"] == 1 })
	assert.Positive(t, now.sum("redis_observer_gaps_total", "reason=unseen")-before.sum("redis_observer_gaps_total", "reason=unseen"))
	assert.Zero(t, now.commands("default")["lpush"], "it was not seen")
	incr := now.commands("default")["incr"]
	unpaired := now.sum("redis_observer_unpaired_commands_total") - before.sum("redis_observer_unpaired_commands_total")
	assert.LessOrEqual(t, incr, 10)
	assert.GreaterOrEqual(t, incr, 5)
	t.Logf("%d of 10 commands counted, %d unpaired", incr, unpaired)
	assert.Zero(t, now.sum("redis_commands_total", "status=error")-before.sum("redis_commands_total", "status=error"), "no reply went to another command")
}
