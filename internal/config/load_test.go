package config

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/address"
)

// mustWrite writes a configuration file and returns its path.
func mustWrite(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "observer.yaml")
	require.NoError(tb, os.WriteFile(path, []byte(text), 0o600))
	return path
}

var testBackends = []string{"auto", "fentry", "kprobe", "tracepoint"}

// load loads a configuration without flags.
func load(path string) (*Config, error) { return Loader{Path: path, Backends: testBackends}.Load() }

// mustLoad loads a valid configuration.
func mustLoad(tb testing.TB, text string) *Config {
	tb.Helper()
	config, err := load(mustWrite(tb, text))
	require.NoError(tb, err)
	return config
}

func mustFlags(tb testing.TB, args ...string) *pflag.FlagSet {
	tb.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(flags, testBackends)
	require.NoError(tb, flags.Parse(args))
	return flags
}

func TestExampleShowsEveryKeyAtItsDefault(t *testing.T) {
	const path = "../../config.example.yaml"
	config, err := load(path)
	require.NoError(t, err)
	assert.Equal(t, Default(), config)

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, key := range leafKeys() {
		last := filepath.Base(filepath.ToSlash(strings.ReplaceAll(key, delimiter, "/")))
		assert.Regexp(t, `(?m)^ *`+last+`:`, string(text), key)
	}
}

func TestLoadWholeFile(t *testing.T) {
	config := mustLoad(t, `
listen: "127.0.0.1:21000"
capture: {backend: tracepoint, ring_size: 1MiB, flush_interval: 10ms, max_bytes_per_call: 4096, interfaces: [eth0], tls: "off"}
ports: [6379, 6380]
default_name: others
endpoints:
  - name: session-cache
    addresses: ["sessions:6379", "10.0.0.10:6379", "10.2.0.0/16:6379", "[fd00::7]:6379", "*:6390"]
  - name: queue
    addresses: ["127.0.0.1:6400"]
    role: server
resolve_interval: 1m
metrics: {buckets: [0.001, 1], native_histograms: true, command_names: redis-py}
extra_commands: [MYMOD.GET]
renamed_commands: {XGET: get, x.set: set}
log: {level: debug, format: json}
`)
	assert.Equal(t, Capture{Backend: "tracepoint", RingSize: 1 << 20, FlushInterval: 10 * time.Millisecond, MaxBytesPerCall: 4096, Interfaces: []string{"eth0"}, TLS: Off, UserNamespaces: Allow}, config.Capture)
	assert.Equal(t, []int{6379, 6380}, config.Ports)
	require.Len(t, config.Endpoints, 2)
	assert.Equal(t, "sessions:6379", config.Endpoints[0].Addresses[0].String())
	assert.Equal(t, address.Client, config.Endpoints[0].Role)
	assert.Equal(t, address.Server, config.Endpoints[1].Role)
	assert.Equal(t, time.Minute, config.ResolveInterval)
	assert.Equal(t, []float64{0.001, 1}, config.Metrics.Buckets)
	assert.True(t, config.Metrics.NativeHistograms)
	assert.Equal(t, []string{"MYMOD.GET"}, config.ExtraCommands)
	assert.Equal(t, map[string]string{"xget": "get", "x.set": "set"}, config.RenamedCommands)
	assert.Equal(t, Log{Level: slog.LevelDebug, Format: JSONFormat}, config.Log)
}

func TestLoadWithoutFile(t *testing.T) {
	config, err := load("")
	require.NoError(t, err)
	assert.Equal(t, Default(), config)
}

func TestNullValuesAreDefaults(t *testing.T) {
	assert.Equal(t, Default(), mustLoad(t, "endpoints:\nlog:\nports:\n"))
}

func TestPrecedence(t *testing.T) {
	const file = "capture: {backend: kprobe}\n"
	tests := []struct {
		name, file, variable string
		flags                []string
		want                 string
	}{
		{"default", "", "", nil, "auto"},
		{"file over default", file, "", nil, "kprobe"},
		{"variable over file", file, "fentry", nil, "fentry"},
		{"flag over variable", file, "fentry", []string{"--backend", "tracepoint"}, "tracepoint"},
		{"flag at its default over variable", file, "fentry", []string{"--backend", "auto"}, "auto"},
		{"flag that is not given", file, "", []string{"--listen", ":21001"}, "kprobe"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("REDIS_OBSERVER_CAPTURE_BACKEND", test.variable)
			config, err := Loader{Path: mustWrite(t, test.file), Flags: mustFlags(t, test.flags...), Backends: testBackends}.Load()
			require.NoError(t, err)
			assert.Equal(t, test.want, config.Capture.Backend)
		})
	}
}

func TestEveryKeyHasAVariable(t *testing.T) {
	webConfig := mustWrite(t, "")
	certificate, key := mustCertify(t)
	for variable, value := range map[string]string{
		"LISTEN": ":21002", "WEB_CONFIG": webConfig, "CAPTURE_BACKEND": "fentry", "CAPTURE_RING_SIZE": "1MiB",
		"CAPTURE_FLUSH_INTERVAL": "7ms", "CAPTURE_MAX_BYTES_PER_CALL": "4096", "CAPTURE_INTERFACES": "eth0, lo", "CAPTURE_TLS": "off", "CAPTURE_USER_NAMESPACES": "unnamed",
		"PORTS": "1,2", "DEFAULT_NAME": "123", "ENDPOINTS": `[{name: a, addresses: ["h:1"], role: server}]`,
		"IGNORE_PROCESSES": "envoy, '*_exporter'", "IGNORE_UNITS": "a.service", "IGNORE_NAMESPACES": "kube-system",
		"RESOLVE_INTERVAL": "5s", "METRICS_BUCKETS": "0.5,1", "METRICS_NATIVE_HISTOGRAMS": "true", "METRICS_PHASES": "true", "METRICS_COMMAND_NAMES": "redis-py",
		"METRICS_LABELS": "container_id, systemd_unit", "METRICS_MAX_LABEL_SETS": "7", "METRICS_LABEL_TTL": "2h",
		"EXTRA_COMMANDS": "a.b", "RENAMED_COMMANDS": "{XGET: get}", "LOG_LEVEL": "error", "LOG_FORMAT": "json",
		"SLOW_COMMANDS_SIZE": "9", "SLOW_COMMANDS_THRESHOLD": "1s",
		"OTLP_ENDPOINT": "https://c:1", "OTLP_PROTOCOL": "grpc", "OTLP_HEADERS": "a=b", "OTLP_INTERVAL": "2s", "OTLP_TIMEOUT": "3s",
		"OTLP_COMPRESSION": "gzip", "OTLP_NAMES": "prometheus", "OTLP_TLS_CA_FILE": certificate, "OTLP_TLS_CERT_FILE": certificate,
		"OTLP_TLS_KEY_FILE": key, "OTLP_TLS_SERVER_NAME": "d",
	} {
		t.Setenv("REDIS_OBSERVER_"+variable, value)
	}
	for _, key := range leafKeys() {
		require.NotEmpty(t, os.Getenv(Variable(key)), key)
	}
	config, err := load("")
	require.NoError(t, err)
	assert.Equal(t, &Config{
		Listen: ":21002", WebConfig: webConfig,
		Capture: Capture{Backend: "fentry", RingSize: 1 << 20, FlushInterval: 7 * time.Millisecond, MaxBytesPerCall: 4096, Interfaces: []string{"eth0", "lo"}, TLS: Off, UserNamespaces: Unnamed},
		Ports:   []int{1, 2}, DefaultName: "123",
		Endpoints:       []Endpoint{{Name: "a", Addresses: []address.Address{{Host: "h", Ports: address.Port(1)}}, Role: address.Server}},
		Ignore:          Ignore{Processes: []string{"envoy", "*_exporter"}, Units: []string{"a.service"}, Namespaces: []string{"kube-system"}},
		ResolveInterval: 5 * time.Second,
		Metrics:         Metrics{Buckets: []float64{0.5, 1}, NativeHistograms: true, Phases: true, CommandNames: RedisPyNames, Labels: []string{"container_id", "systemd_unit"}, MaxLabelSets: 7, LabelTTL: 2 * time.Hour},
		ExtraCommands:   []string{"a.b"}, RenamedCommands: map[string]string{"XGET": "get"},
		SlowCommands: SlowCommands{Size: 9, Threshold: time.Second},
		OTLP: OTLP{
			Endpoint: "https://c:1", Protocol: GRPC, Headers: Headers{"a": "b"}, Interval: 2 * time.Second, Timeout: 3 * time.Second,
			Compression: Gzip, Names: PrometheusNames, TLS: ClientTLS{CAFile: certificate, CertFile: certificate, KeyFile: key, ServerName: "d"},
		},
		Log: Log{Level: slog.LevelError, Format: JSONFormat},
	}, config)
}

func TestFlags(t *testing.T) {
	config, err := Loader{Flags: mustFlags(t, "--listen", ":21003", "--ports", "7000,7001", "--log-level", "warn", "--log-format", "json")}.Load()
	require.NoError(t, err)
	assert.Equal(t, ":21003", config.Listen)
	assert.Equal(t, []int{7000, 7001}, config.Ports)
	assert.Equal(t, Log{Level: slog.LevelWarn, Format: JSONFormat}, config.Log)
}

// A flag that is not set overrides neither the default nor the file.
func TestFlagsThatAreNotGiven(t *testing.T) {
	config, err := Loader{Flags: mustFlags(t)}.Load()
	require.NoError(t, err)
	assert.Equal(t, Default(), config)
	config, err = Loader{Path: mustWrite(t, "{ports: [], log: {level: debug}, endpoints: [{name: a, addresses: ['*:1']}]}"), Flags: mustFlags(t)}.Load()
	require.NoError(t, err)
	assert.Empty(t, config.Ports)
	assert.Equal(t, slog.LevelDebug, config.Log.Level)
}

// A system without backends accepts the configuration of an observer.
func TestAnyBackendWhereThereAreNone(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(flags, nil)
	config, err := Loader{Path: mustWrite(t, "capture: {backend: tracepoint}"), Flags: flags}.Load()
	require.NoError(t, err)
	assert.Equal(t, "tracepoint", config.Capture.Backend)
	assert.Equal(t, "capture backend", flags.Lookup("backend").Usage)
}

func TestServiceVariablesOfKubernetesAreNoFault(t *testing.T) {
	t.Setenv("REDIS_OBSERVER_SERVICE_HOST", "10.0.0.1")
	t.Setenv("REDIS_OBSERVER_PORT", "tcp://10.0.0.1:9479")
	_, err := load("")
	assert.NoError(t, err)
}

func TestLoadUnreadableFile(t *testing.T) {
	_, err := load("/nonexistent/observer.yaml")
	require.ErrorIs(t, err, fs.ErrNotExist)
	assert.Contains(t, err.Error(), "/nonexistent/observer.yaml")
	assert.Contains(t, err.Error(), "--config")
}
