package deploy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

const plainScrape = `  - job_name: redis-observer
    static_configs: [{targets: ["127.0.0.1:24110"]}]
  - job_name: redis_exporter
    static_configs: [{targets: ["127.0.0.1:24119"]}]
`

// alertTime is what an alert may take: a scrape, an evaluation, and another of each, because a rate needs two samples; and a wait.
const alertTime = 15 * time.Second

// exporterRate is what serveExporter counts in a second.
const exporterRate = 1e9

// serveExporter answers as redis_exporter does, whose family of commands has the name of ours.
func serveExporter(tb testing.TB, address string) {
	tb.Helper()
	begin := time.Now()
	listener, err := net.Listen("tcp", address)
	require.NoError(tb, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := time.Since(begin).Seconds() * exporterRate
		_, _ = fmt.Fprintf(w, `# TYPE redis_commands_total counter
redis_commands_total{cmd="get"} %[1]f
# TYPE redis_commands_failed_calls_total counter
redis_commands_failed_calls_total{cmd="get"} %[1]f
# TYPE redis_errors_total counter
redis_errors_total{err="WRONGTYPE"} %[1]f
# TYPE redis_connected_clients gauge
redis_connected_clients %[1]f
# TYPE redis_start_time_seconds gauge
redis_start_time_seconds %[2]d
`, n, begin.Unix())
	})}
	go func() { _ = server.Serve(listener) }() // ends with Close
	tb.Cleanup(func() { _ = server.Close() })
}

// serveTLS shakes hands, and waits for the end of each connection.
func serveTLS(tb testing.TB, address string) {
	tb.Helper()
	certificate, err := kit.NewCertificate(tb.TempDir())
	require.NoError(tb, err)
	pair, err := tls.LoadX509KeyPair(certificate.File, certificate.Key)
	require.NoError(tb, err)
	listener, err := tls.Listen("tcp", address, &tls.Config{Certificates: []tls.Certificate{pair}})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(io.Discard, conn) // however it ends
				_ = conn.Close()
			}()
		}
	}()
}

// The alerts fire on real traffic in a real Prometheus, and only where there is a reason; the panels of the dashboard show it.
func TestLive(t *testing.T) {
	requireRoot(t)
	for port := 24111; port <= 24114; port++ {
		mustRedis(t, port, "--enable-debug-command", "local")
	}
	config := mustWrite(t, "observer.yaml", `
listen: 127.0.0.1:24110
endpoints:
  - {name: errors, addresses: ["127.0.0.1:24111"]}
  - {name: slow, addresses: ["127.0.0.1:24112"]}
  - {name: exhausted, addresses: ["127.0.0.1:24113"]}
  - {name: healthy, addresses: ["127.0.0.1:24114"], role: server}
  - {name: unused, addresses: ["127.0.0.1:24115"]}
  - {name: secure, addresses: ["127.0.0.1:24118"]}
metrics: {native_histograms: true, phases: true}
`)
	serveExporter(t, "127.0.0.1:24119")
	serveTLS(t, "127.0.0.1:24118")
	mustStart(t, mustBuild(t), "--config", config).awaitLog(t, "redis-observer started")
	// The first asks for text, which has no native histograms; the second stores native histograms only.
	both := []prometheus{mustPrometheus(t, 24116, plainScrape), mustPrometheus(t, 24117, plainScrape, "--enable-feature=native-histograms")}
	p := both[0]

	// Every name has an idle connection from before, and every command its series, so that what follows is all that happens.
	var clients []*client
	for port := 24111; port <= 24114; port++ {
		c := mustDial(t, port)
		c.do(t, "SET key text", "GET key", "LPUSH list 1")
		clients = append(clients, c)
		mustDial(t, port).do(t, "PING")
	}
	require.Eventually(t, func() bool {
		samples, err := p.query(`count_over_time(redis_commands_total{command="get",status="success"}[1m]) >= 2`)
		return err == nil && len(samples) == 4
	}, alertTime, 200*time.Millisecond, "each name is scraped twice")
	for _, alert := range []string{"RedisCommandErrors", "RedisSlowGet", "RedisPoolExhausted"} {
		samples, err := p.query(fmt.Sprintf(`ALERTS{alertname=%q}`, alert))
		require.NoError(t, err)
		assert.Empty(t, samples, alert)
	}
	healthy := clients[3]
	fires := func(alert, name string, cause func()) {
		t.Helper()
		begin := time.Now()
		cause()
		require.Eventually(t, func() bool {
			for range 50 {
				healthy.do(t, "GET key") // so many that one which a busy machine delays is not one in a hundred
			}
			healthy.do(t, "LPUSH queue 1", "BRPOP queue 1")
			clients[0].do(t, "GET list") // the rate of a counter needs two scrapes that differ
			_, err := net.Dial("tcp", "127.0.0.1:24115")
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			secure, err := tls.Dial("tcp", "127.0.0.1:24118", &tls.Config{InsecureSkipVerify: true})
			require.NoError(t, err)
			require.NoError(t, secure.Close())
			return both[0].firing(alert, "name", name) && both[1].firing(alert, "name", name)
		}, alertTime, 200*time.Millisecond, "%s of %s", alert, name)
		t.Logf("%s fired %s after its cause began", alert, time.Since(begin).Round(100*time.Millisecond))
		for _, p := range both {
			assert.False(t, p.firing(alert, "name", "healthy"))
			assert.False(t, p.firing(alert, "name", "unused"))
		}
	}
	fires("RedisCommandErrors", "errors", func() {
		for range 200 {
			clients[0].do(t, "GET list")
		}
	})
	fires("RedisSlowGet", "slow", func() {
		for range 40 {
			sleeper := mustDial(t, 24112)
			sleeper.send(t, "DEBUG SLEEP 0.1")
			time.Sleep(20 * time.Millisecond) // the server has begun to sleep
			clients[1].do(t, "GET key")
			sleeper.receive(t)
			sleeper.Close()
		}
	})
	fires("RedisPoolExhausted", "exhausted", func() {
		for _, c := range append(connections[24113], clients[2]) {
			c.send(t, "BLPOP nothing 30")
		}
	})
	samples, err := p.query(`ALERTS{alertname=~"RedisObserver.*",alertstate="firing"}`)
	require.NoError(t, err)
	assert.Empty(t, samples, "the observer itself is well")

	t.Run("dashboard", func(t *testing.T) { assertPanels(t, both[0]) })
	t.Run("dashboard with native histograms", func(t *testing.T) {
		classic, err := both[1].query(`redis_command_duration_seconds_bucket`)
		require.NoError(t, err)
		assert.Empty(t, classic, "this Prometheus is to store native histograms only")
		assertPanels(t, both[1])
	})
	t.Run("closed", func(t *testing.T) {
		for _, c := range connections[24113] {
			_ = c.Close()
		}
		require.Eventually(t, func() bool {
			pending, err := p.query(`ALERTS{alertname="RedisPoolExhausted"}`)
			series, seriesErr := p.query(`redis_pool_connections{name="exhausted"}`)
			return err == nil && seriesErr == nil && len(pending) == 0 && len(series) == 0
		}, alertTime, 200*time.Millisecond, "a name without connections is no exhausted pool")
	})
	t.Run("privacy", func(t *testing.T) {
		body, err := get("http://127.0.0.1:24110/metrics")
		require.NoError(t, err)
		for _, secret := range []string{"nothing", "list", "text", "WRONGTYPE Operation"} {
			assert.NotContains(t, withoutHelp(body), secret)
		}
	})
}

// withoutHelp leaves the samples of a scrape.
func withoutHelp(body string) string {
	var samples []string
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "#") {
			samples = append(samples, line)
		}
	}
	return strings.Join(samples, "")
}

// TLS and basic authentication of the endpoint, as a Prometheus with the same secrets sees it.
func TestLiveWithTLS(t *testing.T) {
	requireRoot(t)
	folder := t.TempDir()
	mustOutput(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
		"-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder+"/key.pem", "-out", folder+"/cert.pem")
	web := mustWrite(t, "web.yml", "tls_server_config: {cert_file: "+folder+"/cert.pem, key_file: "+folder+"/key.pem}\n"+
		"basic_auth_users: {prometheus: "+passwordHash+"}\n")
	mustStart(t, mustBuild(t), "--listen", "127.0.0.1:24120", "--web-config", web, "--ports", "24121").awaitLog(t, "redis-observer started")
	p := mustPrometheus(t, 24122, `  - job_name: redis-observer
    scheme: https
    tls_config: {ca_file: `+folder+`/cert.pem}
    basic_auth: {username: prometheus, password: secret}
    static_configs: [{targets: ["127.0.0.1:24120"]}]
  - job_name: redis-observer-stranger
    scheme: https
    tls_config: {ca_file: `+folder+`/cert.pem}
    static_configs: [{targets: ["127.0.0.1:24120"]}]
`)
	require.Eventually(t, func() bool {
		friend, _ := p.query(`up{job="redis-observer"} == 1`)
		stranger, _ := p.query(`up{job="redis-observer-stranger"} == 0`)
		return len(friend) == 1 && len(stranger) == 1
	}, alertTime, 200*time.Millisecond)
	_, err := net.DialTimeout("tcp", "127.0.0.1:24120", time.Second)
	assert.NoError(t, err)
	_, err = get("http://127.0.0.1:24120/metrics")
	assert.Error(t, err, "nothing is served in the clear")
}

// passwordHash is that of "secret".
const passwordHash = "$2a$04$VwRMKFek2QvOl5ya3zQrgugaq.PPDSxsdojckWOJex6N/jUMabz3G"
