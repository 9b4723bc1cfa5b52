package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// tlsRedis is a server that also listens for TLS.
type tlsRedis struct {
	*redis
	certificate kit.Certificate
	tlsPort     int
}

func mustTLSRedis(t *testing.T) *tlsRedis {
	t.Helper()
	certificate, err := kit.NewCertificate(t.TempDir())
	require.NoError(t, err)
	port := mustPort(t)
	return &tlsRedis{mustRedis(t, certificate.ServerOptions(port)...), certificate, port}
}

func (r *tlsRedis) mustRun(program string, arguments ...string) {
	r.tb.Helper()
	all := append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(r.tlsPort), "--tls", "--cacert", r.certificate.File}, arguments...)
	output, err := exec.Command(program, all...).CombinedOutput()
	require.NoError(r.tb, err, "%s", output)
}

var numberAndParent = regexp.MustCompile(`(?s)Pid:\t(\d+)\n.*PPid:\t(\d+)\n`)

// child returns the status of the only child of a process.
func child(t *testing.T, parent int) (pid int, status string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/status")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		found := numberAndParent.FindSubmatch(text)
		if err != nil || found == nil || string(found[2]) != strconv.Itoa(parent) {
			continue
		}
		require.Zero(t, pid, "a second child")
		pid, err = strconv.Atoi(string(found[1]))
		require.NoError(t, err)
		status = string(text)
	}
	require.NotZero(t, pid, "no child")
	return pid, status
}

// TLS connections are observed at both ends like plain ones, once the library is attached; also
// after the end of the process that attaches. That process keeps what it needs, and no more.
func TestEncrypted(t *testing.T) {
	RequireProbes(t, "packets are encrypted")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel() // with the other role only
			r := mustTLSRedis(t)
			o := mustObserverOf(t, shippedBinary, fmt.Sprintf("ports: []\nendpoints: [{name: default, role: %s, addresses: [\"*:%d\"]}]\n", role, r.tlsPort))
			assert.Zero(t, o.mustScrape().sum("redis_observer_tls_libraries"), "nothing is attached before there is a TLS connection")
			for o.mustScrape().sum("redis_observer_tls_libraries") == 0 {
				r.mustRun("redis-benchmark", "-t", "set", "-n", "1000", "-c", "1")
				require.False(t, t.Failed())
			}
			assert.Equal(t, 1, o.mustScrape().value("redis_observer_tls_libraries", "library=openssl"), o.Log())

			pid, status := child(t, o.PID())
			for _, line := range []string{"Seccomp:\t2\n", "NoNewPrivs:\t1\n"} {
				assert.Contains(t, status, line)
			}
			held := regexp.MustCompile(`CapPrm:\t([0-9a-f]+)`).FindStringSubmatch(status)
			require.NotNil(t, held)
			bits, err := strconv.ParseUint(held[1], 16, 64)
			require.NoError(t, err)
			const allowed = 1<<19 | 1<<21 | 1<<38 | 1<<39 | 1<<40 // ptrace, admin before Linux 6.6, perfmon, bpf, checkpoint
			assert.Zero(t, bits&^allowed, "%#x", bits)

			exact := func() {
				t.Helper()
				start := o.mustScrape()
				before := start.commands("default")
				r.mustResetStats()
				r.mustRun("redis-benchmark", "-t", "set,get,lpush", "-n", "2000", "-c", "8")
				r.mustRun("redis-benchmark", "-t", "mset,spop", "-n", "2000", "-c", "8", "-P", "16")
				r.mustRun("redis-cli", "SET", "long", strings.Repeat("x", 100_000))
				r.mustRun("redis-cli", "GET", "long")
				want := r.mustStats()
				delete(want, "config_resetstat")
				o.mustSee("all commands", func(s snapshot) bool { return s.commands("default").since(before).total() >= want.total() })
				s := o.mustScrape()
				assert.Equal(t, want, s.commands("default").since(before))
				assert.Empty(t, s.losses().since(start.losses()))
			}
			exact()
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			exact()
			s := o.mustScrape()
			assert.Equal(t, 1, s.value("redis_observer_tls_libraries", "library=openssl"), "it stays attached")
		})
	}
}

// Programs that move the ciphertext themselves are observed like others: node, and Python's asyncio.
func TestEncryptedInMemory(t *testing.T) {
	RequireProbes(t, "packets are encrypted")
	for _, test := range []struct {
		program, script string
		last            string // the library that is attached last: Python's one of BIOs is a file of its own
	}{{"node", "testdata/memory.mjs", "openssl"}, {"python3", "testdata/memory.py", "libcrypto"}} {
		t.Run(test.program, func(t *testing.T) {
			t.Parallel() // with the other program only
			if _, err := exec.LookPath(test.program); err != nil {
				skip(t, "needs "+test.program+": apt-get install nodejs python3")
			}
			r := mustTLSRedis(t)
			run := func(rounds, connections int) {
				t.Helper()
				script := exec.Command(test.program, test.script, strconv.Itoa(r.tlsPort), strconv.Itoa(rounds), strconv.Itoa(connections))
				output, err := script.CombinedOutput()
				require.NoError(t, err, "%s", output)
			}
			o := mustObserver(t, fmt.Sprintf("ports: []\nendpoints: [{name: default, addresses: [\"*:%d\"]}]\n", r.tlsPort))
			for o.mustScrape().sum("redis_observer_tls_libraries", "library="+test.last) == 0 {
				run(20, 2)
			}
			run(20, 2)
			time.Sleep(time.Second) // what has been read by then is in the next scrape
			start := o.mustScrape()
			before := start.commands("default")
			r.mustResetStats()
			run(300, 5)
			run(300, 1)
			want := r.mustStats()
			delete(want, "config_resetstat")
			o.mustSee("all commands", func(s snapshot) bool { return s.commands("default").since(before).total() >= want.total() })
			s := o.mustScrape()
			assert.Equal(t, want, s.commands("default").since(before))
			assert.Empty(t, s.losses().since(start.losses()))
		})
	}
}
