package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture"
)

// fixedHosts resolves the names in it.
type fixedHosts map[string][]netip.Addr

func (h fixedHosts) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	if len(h[name]) == 0 {
		return nil, errors.New("no such host")
	}
	return h[name], nil
}

var (
	usable = capture.Report{Kernel: "6.18.0", Architecture: "amd64", Auto: "tracepoint", Backends: []capture.BackendReport{
		{Name: "fentry", Reason: "operation not permitted"}, {Name: "tracepoint", Usable: true}, {Name: "kprobe", Usable: true, NoUnix: "cannot load"}, {Name: "packet", Usable: true, Unseen: "failed connects"}}, UnixListeners: []string{"@jobs"}}
	hostsOfCheck = fixedHosts{"sessions": {netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("10.0.0.10")}, "queue": {netip.MustParseAddr("10.0.0.10")}}
)

// runCheck runs check beside a kernel and returns its status, output and error.
func runCheck(t *testing.T, report capture.Report, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	emptyTestVariables(t)
	var out, fault bytes.Buffer
	world := program{hostsOfCheck, machine{probe: func() capture.Report { return report }}}
	status = world.run(context.Background(), append([]string{"check"}, args...), &out, &fault)
	return status, out.String(), fault.String()
}

// emptyTestVariables empties the environment variables of the tests, which check refuses: no key has them.
func emptyTestVariables(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "REDIS_OBSERVER_TEST_") {
			t.Setenv(name, "")
		}
	}
}

func TestCheck(t *testing.T) {
	bare := capture.Report{Kernel: "4.19.0"}
	faulty := mustText(t, "tls_server_config: {cert_fiel: x}\n")
	tests := []struct {
		name   string
		report capture.Report
		args   []string
		status int
		want   []string
	}{
		{"auto", usable, nil, 0, []string{"tracepoint (capture.backend: auto)", "not usable: operation not permitted", "no Unix sockets: cannot load", "does not see: failed connects", "at most"}},
		{"Unix sockets", capture.Report{UnixListeners: []string{"/run/redis/redis.sock"}}, nil, 1, []string{"write unix:/run/redis/redis.sock"}},
		{"explicit", usable, []string{"--backend", "kprobe"}, 0, []string{"kprobe (capture.backend: kprobe)"}},
		{"explicit that does not work", usable, []string{"--backend", "fentry"}, 1, []string{"none works (capture.backend: fentry)"}},
		{"nothing works", bare, nil, 1, []string{"4.19.0", "none works"}},
		{"all faults", usable, []string{"--backend", "x", "--ports", "0"}, 1, []string{"2 faults", "--backend: capture.backend: ", "--ports: ports[0]: ", "tracepoint"}},
		{"web configuration", usable, []string{"--web-config", faulty}, 1, []string{"1 fault\n", "--web-config: web_config: ", "cert_fiel"}},
		{"address of another host", usable, []string{"--listen", "192.0.2.1:9479"}, 1, []string{"--listen: listen: ", "(allowed an address of this host"}},
		{"output", usable, []string{"--output", "xml"}, 1, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, stdout, stderr := runCheck(t, test.report, test.args...)
			assert.Equal(t, test.status, status)
			for _, want := range test.want {
				assert.Contains(t, stdout, want)
			}
			assert.Equal(t, test.status != 0, stderr != "")
		})
	}
}

// A report is sent to others: it has no names of other programs.
func TestCheckShowsNoOtherSockets(t *testing.T) {
	report := usable
	report.UnixListeners = []string{"/run/user/1000/bus", "/run/redis/redis.sock", "@/tmp/.X11-unix/X0"}
	status, stdout, _ := runCheck(t, report, "--output", "json")
	assert.Equal(t, 0, status)
	var v verdict
	require.NoError(t, json.Unmarshal([]byte(stdout), &v))
	assert.Equal(t, []string{"/run/redis/redis.sock"}, v.Kernel.UnixListeners)
	assert.NotContains(t, stdout, "X11")
}

// A collector that is away is said, and is no fault: it may come later.
func TestCheckTriesTheCollector(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	endpoint := "http://" + listener.Addr().String()
	check := func(output string) string {
		status, stdout, _ := runCheck(t, usable, "--otlp-endpoint", endpoint, "--output", output)
		assert.Equal(t, 0, status)
		return stdout
	}
	assert.Contains(t, check("text"), endpoint+" can be reached\n")
	assert.Contains(t, check("json"), `"reached": true`)
	require.NoError(t, listener.Close())
	assert.Contains(t, check("text"), endpoint+" cannot be reached from here: dial tcp ")
	assert.Contains(t, check("text"), "connection refused (start the collector")
	assert.Contains(t, check("json"), `"reached": false`)
	_, stdout, _ := runCheck(t, usable)
	assert.NotContains(t, stdout, "exports to")
}

func TestCheckRefusesUnknownVariables(t *testing.T) {
	t.Setenv("REDIS_OBSERVER_PROTS", "6380")
	status, stdout, _ := runCheck(t, usable)
	assert.Equal(t, 1, status)
	assert.Contains(t, stdout, "REDIS_OBSERVER_PROTS: is the variable of no key (did you mean REDIS_OBSERVER_PORTS?)")
}

const checked = `ports: [6379]
endpoints:
  - name: cache
    addresses: ["sessions:6379", "10.2.0.0/16:6379", "gone:6379"]
  - name: queue
    role: server
    addresses: ["*:6400", "unix:@jobs"]
  - name: jobs
    addresses: ["queue:6379"]
`

func TestCheckShowsTheMeaning(t *testing.T) {
	file := mustText(t, checked)
	status, stdout, _ := runCheck(t, usable, "--config", file)
	assert.Equal(t, 0, status, "a host name that does not resolve is no fault")
	want := `configuration       FILE: valid
endpoint            cache, at the client end
                      sessions:6379 = 10.0.0.10, 10.0.0.11
                      10.2.0.0/16:6379
                      gone:6379 does not resolve: no such host
endpoint            queue, at the server end
                      *:6400
                      unix:@jobs
endpoint            jobs, at the client end
                      queue:6379 = 10.0.0.10
observed ports      client end: 6379; server end: 6400
other addresses     default
note                queue:6379 of jobs is 10.0.0.10:6379, which counts as cache at the client end: sessions:6379 is an address of this host name (FILE:4:17 endpoints[0].addresses[0])
listens on          :9479
series              at most 154972 (4 names × `
	assert.True(t, strings.HasPrefix(strings.ReplaceAll(stdout, file, "FILE"), want), stdout)
	_, again, _ := runCheck(t, usable, "--config", file)
	assert.Equal(t, stdout, again, "the same order each run")
}

func TestCheckAsJSON(t *testing.T) {
	status, stdout, _ := runCheck(t, usable, "--config", mustText(t, checked), "--output", "json")
	require.Equal(t, 0, status)
	var v verdict
	require.NoError(t, json.Unmarshal([]byte(stdout), &v))
	assert.True(t, v.OK)
	assert.Equal(t, "tracepoint", v.Backend)
	assert.Equal(t, usable, v.Kernel)
	c := v.Configuration
	assert.Positive(t, c.Series.Total)
	assert.Equal(t, []uint16{6379}, c.ClientPorts)
	assert.Equal(t, []uint16{6400}, c.ServerPorts)
	assert.Equal(t, "no such host", c.Endpoints[0].Addresses[2].Error)
	assert.Equal(t, []understoodAddress{{Address: "queue:6379", Resolved: []string{"10.0.0.10"}}}, c.Endpoints[2].Addresses)
	assert.Len(t, c.Notes, 1)
}

func TestNameOf(t *testing.T) {
	file := mustText(t, checked)
	tests := []struct {
		address string
		status  int
		want    string
	}{
		{"10.2.3.4:6379", 0, `10.2.3.4:6379  at the client end  cache        10.2.0.0/16:6379 is the longest network that contains it (FILE:4:34 endpoints[0].addresses[1])
10.2.3.4:6379  at the server end  not counted  it counts at the other end
`},
		{"192.0.2.1:6379", 0, `192.0.2.1:6379  at the client end  default      no endpoint has it, but its port is observed
192.0.2.1:6379  at the server end  not counted  it counts at the other end
`},
		{"[fd00::7]:7000", 0, `[fd00::7]:7000  at the client end  not counted  its port is not observed at this end
[fd00::7]:7000  at the server end  not counted  its port is not observed at this end
`},
		{"sessions:6400", 0, `10.0.0.11:6400  at the client end  not counted  it counts at the other end
10.0.0.11:6400  at the server end  queue        *:6400 is any address with this port (FILE:7:17 endpoints[1].addresses[0])
10.0.0.10:6400  at the client end  not counted  it counts at the other end
10.0.0.10:6400  at the server end  queue        *:6400 is any address with this port (FILE:7:17 endpoints[1].addresses[0])
`},
		{"unix:@jobs", 0, `unix:@jobs  at the client end  not counted  no endpoint has it at this end
unix:@jobs  at the server end  queue        unix:@jobs is the address itself (FILE:7:27 endpoints[1].addresses[1])
`},
		{"gone:1", 1, "redis-observer: name of gone:1: no such host (give an IP address)\n"},
		{"10.0.0.0/8:1", 1, "redis-observer: name of 10.0.0.0/8:1: it is not one address (give an IP address and a port, as in 10.0.0.10:6379, or unix:/path)\n"},
		{"10.0.0.1", 1, "redis-observer: name of 10.0.0.1: \"10.0.0.1\" has no port"},
	}
	for _, test := range tests {
		status, stdout, stderr := runCheck(t, capture.Report{}, "--config", file, "--name-of", test.address)
		assert.Equal(t, test.status, status, test.address)
		got := strings.ReplaceAll(stdout+stderr, file, "FILE")
		assert.True(t, strings.HasPrefix(got, test.want), got)
	}

	status, stdout, _ := runCheck(t, capture.Report{}, "--config", file, "--name-of", "10.0.0.10:6379", "--output", "json")
	require.Equal(t, 0, status)
	var answers []answer
	require.NoError(t, json.Unmarshal([]byte(stdout), &answers))
	require.Len(t, answers, 1)
	assert.Equal(t, "cache", answers[0].Ends[0].Name)

	status, stdout, stderr := runCheck(t, capture.Report{}, "--ports", "x", "--name-of", "10.0.0.10:6379")
	assert.Equal(t, 1, status)
	assert.Contains(t, stdout, "--ports: ports[0]: must be a whole number")
	assert.Contains(t, stderr, "the configuration has faults")
}
