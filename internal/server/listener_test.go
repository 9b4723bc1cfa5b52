package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/metrics"
)

// Addresses of the scraper and of all other clients.
const (
	scraperAddress = "127.0.0.2"
	hostileAddress = "127.0.0.3"
	answerSize     = names * 3 << 20 / 20
	mostMemory     = 96 << 20 // of the serving process: half of the memory limit of the manifests besides the observer
)

// TestMain serves large responses if the process was started for that.
func TestMain(m *testing.M) {
	if webConfig, asked := os.LookupEnv("SERVER_TEST_WEB_CONFIG"); asked {
		serveLarge(webConfig)
	}
	os.Exit(m.Run())
}

func serveLarge(webConfig string) {
	o := options()
	o.WebConfig = webConfig
	identities := identity.NewRegistry("name")
	recorder := metrics.New(metrics.Options{
		Buckets:    config.Default().Metrics.Buckets,
		Commands:   command.Builtin(),
		Identities: identities,
		Logger:     o.Logger,
	})
	for i := range names {
		name := identities.Intern(fmt.Sprintf("the-name-of-pool-%03d", i))
		for id := range command.ID(100) {
			recorder.Record(&session.Exchange{Identity: name, Command: id, Outcome: session.Success, Count: 1})
		}
	}
	o.Metrics = recorder
	server, err := Listen(o)
	if err != nil {
		panic(err)
	}
	if raceDetector { // otherwise handshakes take longer than the timeouts of the server
		server.http.ReadHeaderTimeout, server.http.ReadTimeout, server.http.WriteTimeout = scrapeTimeout, scrapeTimeout, scrapeTimeout
	}
	fmt.Println(server.Address())
	panic(server.Serve())
}

// mustServeApart serves large responses from a separate process, so that its memory can be
// measured, and returns its address.
func mustServeApart(tb testing.TB, webConfig string) (address string, pid int) {
	tb.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "SERVER_TEST_WEB_CONFIG="+webConfig)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, command.Start())
	tb.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	line := make([]byte, 64)
	n, err := output.Read(line)
	require.NoError(tb, err)
	return strings.TrimSpace(string(line[:n])), command.Process.Pid
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// assertBounded checks the peak memory of a process.
func assertBounded(tb testing.TB, pid int) {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(tb, err, "the server has gone")
	match := highWater.FindSubmatch(status)
	require.NotNil(tb, match)
	kib, err := strconv.Atoi(string(match[1]))
	require.NoError(tb, err)
	tb.Logf("at most %d MiB", kib>>10)
	if !raceDetector { // which needs several times the memory
		assert.Less(tb, kib<<10, mostMemory)
	}
}

func dialer(from string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
}

func clientFrom(from string) *http.Client {
	return &http.Client{Timeout: scrapeTimeout, Transport: &http.Transport{
		DialContext: dialer(from).DialContext, DisableCompression: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
}

// scrape scrapes once, like Prometheus, and returns the duration.
func scrape(client *http.Client, base string) (time.Duration, error) {
	begin := time.Now()
	response, err := client.Get(base + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	switch {
	case err != nil:
		return 0, err
	case response.StatusCode != http.StatusOK:
		return 0, fmt.Errorf("status %s", response.Status)
	case n < answerSize:
		return 0, fmt.Errorf("%d bytes", n)
	}
	return time.Since(begin), nil
}

// mustCrowdOf keeps connections from some addresses open until the returned function is called. It
// replaces a connection that the server closes, after a pause.
func mustCrowdOf(t *testing.T, at string, many int, from func(int) string, pause time.Duration, behave func(net.Conn)) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all, begun sync.WaitGroup
	begun.Add(many)
	for i := range many {
		all.Go(func() {
			first := sync.OnceFunc(begun.Done)
			for ctx.Err() == nil {
				conn, err := dialer(from(i)).DialContext(ctx, "tcp", at)
				first()
				if err == nil {
					stop := context.AfterFunc(ctx, func() { conn.Close() })
					behave(conn)
					stop()
					conn.Close()
				}
				select { // otherwise reconnecting uses all CPU time
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	begun.Wait()
	return func() {
		cancel()
		all.Wait()
	}
}

func ask(c net.Conn, request string, times int) {
	_, _ = io.WriteString(c, strings.Repeat(request+" HTTP/1.1\r\nHost: x\r\n\r\n", times)) // the server may close it
}

// behaviours are ways to use a connection. Each returns when the connection ends.
var behaviours = map[string]func(net.Conn){
	"idle": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
	"idle after a request": func(c net.Conn) {
		ask(c, "GET /healthz", 1)
		_, _ = io.Copy(io.Discard, c)
	},
	"slow header": func(c net.Conn) {
		_, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		for ; err == nil; _, err = c.Write([]byte{'x'}) {
			time.Sleep(500 * time.Millisecond)
		}
	},
	"slow body": func(c net.Conn) {
		_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	},
	"slow reader": func(c net.Conn) {
		ask(c, "GET /metrics", 1)
		one := make([]byte, 512)
		for _, err := c.Read(one); err == nil; _, err = c.Read(one) {
			time.Sleep(200 * time.Millisecond)
		}
	},
	"reads none of many": func(c net.Conn) {
		ask(c, "GET /", 1000)
		ask(c, "GET /metrics", 1000)
		time.Sleep(time.Second)
	},
}

// Prometheus is served and memory stays bounded: from an address of its own with any number of
// other clients, from their address with up to 50 slow readers.
func TestCrowds(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		many := 2000
		if encrypted || testing.Short() {
			many = 200
		}
		if raceDetector { // which makes handshakes slow
			many = 60
		}
		for name, behave := range behaviours {
			t.Run(fmt.Sprintf("%s/tls=%v", name, encrypted), func(t *testing.T) {
				if raceDetector { // few enough to be beside others; each has a server of its own, and mostly waits
					t.Parallel()
				}
				testCrowd(t, many, encrypted, behave, scraperAddress)
				beside := many
				if name == "slow reader" {
					beside = 50
				}
				testCrowd(t, beside, encrypted, behave, hostileAddress)
			})
		}
	}
}

func testCrowd(t *testing.T, many int, encrypted bool, behave func(net.Conn), from string) {
	t.Helper()
	webConfig, scheme := "", "http://"
	if encrypted {
		webConfig, scheme = mustTLSConfig(t), "https://"
	}
	at, pid := mustServeApart(t, webConfig)
	client := clientFrom(from)
	defer client.CloseIdleConnections()
	alone, err := scrape(client, scheme+at)
	require.NoError(t, err, from)
	client.CloseIdleConnections()         // beside the crowd it connects anew
	pause := max(2*time.Second, 20*alone) // on a slow machine the crowd alone would need all CPU time
	defer mustCrowdOf(t, at, many, func(int) string { return hostileAddress }, pause, func(c net.Conn) {
		_ = c.(*net.TCPConn).SetReadBuffer(4096) // a larger buffer makes no difference
		if encrypted {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		}
		behave(c)
	})()
	for range 3 {
		took, err := scrape(client, scheme+at)
		require.NoError(t, err, from)
		t.Logf("a scrape from %s beside %d took %s, alone %s", from, many, took.Round(time.Millisecond), alone.Round(time.Millisecond))
		if from == hostileAddress { // where its idle connection may be closed just when it asks again
			client.CloseIdleConnections()
		}
		time.Sleep(200 * time.Millisecond)
	}
	assertBounded(t, pid)
}

// A crowd at one address does not take the place of a scraper that waits for its next scrape. An
// HTTP/2 client does not repeat a request that it sent just before it learned of the eviction.
func TestScraperKeepsItsConnection(t *testing.T) {
	const many = maxConnections + 50
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", encrypted), func(t *testing.T) {
			o, scheme := options(), "http://"
			if encrypted {
				o.WebConfig, scheme = mustTLSConfig(t), "https://"
			}
			at := strings.TrimPrefix(mustServe(t, o), "http://")
			client := clientFrom(scraperAddress)
			defer client.CloseIdleConnections()
			reused := false
			get := func() {
				traced := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
				})
				request, err := http.NewRequestWithContext(traced, http.MethodGet, scheme+at+"/metrics", nil)
				require.NoError(t, err)
				response, err := client.Do(request)
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, response.Body)
				require.NoError(t, err)
				response.Body.Close()
			}
			get()
			ended := make(chan struct{}, many)
			for range many {
				conn, err := dialer(hostileAddress).Dial("tcp", at)
				require.NoError(t, err)
				defer conn.Close()
				go func() {
					_, _ = io.Copy(io.Discard, conn)
					ended <- struct{}{}
				}()
			}
			for range many - maxConnections { // all others were accepted
				<-ended
			}
			get()
			assert.True(t, reused, "the scraper had to connect again")
		})
	}
}

// An HTTP/2 connection sends many requests.
func TestCrowdOfStreams(t *testing.T) {
	at, pid := mustServeApart(t, mustTLSConfig(t))
	ctx, cancel := context.WithCancel(t.Context())
	var all, begun sync.WaitGroup
	var asked atomic.Int64
	defer all.Wait()
	defer cancel()
	for range streamClients {
		client := clientFrom(hostileAddress)
		client.Timeout = 0
		// By default a client takes all of a page that nobody reads.
		client.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 16 << 10}
		defer client.CloseIdleConnections()
		get := func(connected func()) {
			defer connected()
			traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected() }})
			url := fmt.Sprintf("https://%s/metrics?name[]=redis_command_duration_seconds&name[]=%d", at, asked.Add(1)) // another page for each
			request, err := http.NewRequestWithContext(traced, http.MethodGet, url, nil)
			assert.NoError(t, err)
			if response, err := client.Do(request); err == nil {
				assert.Equal(t, 2, response.ProtoMajor)
				<-ctx.Done() // without reading
				response.Body.Close()
			}
		}
		begun.Add(1)
		all.Go(func() {
			get(sync.OnceFunc(func() {
				for range http2Limits.MaxConcurrentStreams - 1 { // on the same connection
					all.Go(func() { get(func() {}) })
				}
				begun.Done()
			}))
		})
	}
	begun.Wait() // on a slow machine the handshakes of a crowd alone take longer than a scrape may
	client := clientFrom(scraperAddress)
	defer client.CloseIdleConnections()
	for range 3 {
		took, err := scrape(client, "https://"+at)
		require.NoError(t, err)
		t.Logf("a scrape took %s", took.Round(time.Millisecond))
		time.Sleep(200 * time.Millisecond)
	}
	assertBounded(t, pid)
}
