package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// mustCertify writes a certificate and its key, and returns their paths.
func mustCertify(t *testing.T) (certificate, key string) {
	t.Helper()
	c, err := kit.NewCertificate(t.TempDir())
	require.NoError(t, err)
	return c.File, c.Key
}

func TestOTLP(t *testing.T) {
	c := mustLoad(t, `
otlp:
  endpoint: http://collector:4317
  protocol: grpc
  headers: {Authorization: Bearer x}
  interval: 15s
  timeout: 3s
  compression: gzip
  names: prometheus
`)
	assert.Equal(t, OTLP{
		Endpoint: "http://collector:4317", Protocol: GRPC, Headers: Headers{"authorization": "Bearer x"},
		Interval: 15 * time.Second, Timeout: 3 * time.Second, Compression: Gzip, Names: PrometheusNames,
	}, c.OTLP)
	assert.Equal(t, []string{"otlp"}, RestartKeys(Default(), c))
}

func TestOTLPFaults(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"no scheme", "endpoint: 'collector:4318'", `otlp.endpoint: "collector:4318" does not say whether it takes TLS (write http://collector:4318, or https://collector:4318 for TLS)`},
		{"another scheme", "endpoint: 'grpc://collector:4317'", `otlp.endpoint: "grpc" is not a scheme of OTLP (` + endpointForms + `)`},
		{"no host", "endpoint: 'http://:4318'", `otlp.endpoint: "http://:4318" has no host (` + endpointForms + `)`},
		{"no URL", "endpoint: 'http://[::1'", `otlp.endpoint: is not a URL (` + endpointForms + `)`},
		{"query", "endpoint: 'http://c:1/?a=b'", `otlp.endpoint: "http://c:1/?a=b" has more than a path (` + endpointForms + `)`},
		{"password", "endpoint: 'http://u:secret@c:1'", `otlp.endpoint: has a user and password (send them by otlp.headers: {authorization: Basic …})`},
		{"grpc without port", "{endpoint: 'http://c', protocol: grpc}", `otlp.endpoint: "http://c" has no port (write http://c:4317)`},
		{"grpc with path", "{endpoint: 'http://c:1/api', protocol: grpc}", `otlp.endpoint: "http://c:1/api" has a path, which gRPC does not know (remove it, or write protocol: http/protobuf)`},
		{"protocol", "protocol: http", `otlp.protocol: unknown value "http" (allowed grpc, http/protobuf)`},
		{"names", "names: prom", `otlp.names: unknown value "prom" (allowed semconv, prometheus)`},
		{"compression", "compression: zstd", `otlp.compression: unknown value "zstd" (allowed none, gzip)`},
		{"interval", "interval: 100ms", `otlp.interval: 100ms is out of range (allowed 1s to 1h)`},
		{"timeout", "timeout: 1ms", `otlp.timeout: 1ms is out of range (allowed 100ms to 1h)`},
		{"header name", "headers: {'a b': x}", `otlp.headers.a b: "a b" is not the name of a header (allowed letters, digits and hyphens, as in authorization)`},
		{"header value", `headers: {a: "secret\n"}`, `otlp.headers.a: has characters that no header may have (allowed one line of printable text)`},
		{"header of the protocol", "headers: {content-type: x}", `otlp.headers.content-type: belongs to the protocol (remove it)`},
		{"tls without TLS", "{endpoint: 'http://c:1', tls: {server_name: x}}", `otlp.tls: the endpoint takes no TLS (write https:// in otlp.endpoint, or remove it)`},
		{"no authority", "{endpoint: 'https://c:1', tls: {ca_file: /nonexistent}}", `otlp.tls.ca_file: stat /nonexistent: no such file or directory (allowed the path of certificates in PEM)`},
		{"no certificate", "{endpoint: 'https://c:1', tls: {ca_file: otlp_test.go}}", `otlp.tls.ca_file: otlp_test.go has no certificate (allowed the path of certificates in PEM)`},
		{"no key", "{endpoint: 'https://c:1', tls: {cert_file: x}}", `otlp.tls.cert_file: has no key (name the key by otlp.tls.key_file)`},
		{"key alone", "{endpoint: 'https://c:1', tls: {key_file: x}}", `otlp.tls.key_file: has no certificate (name the certificate by otlp.tls.cert_file)`},
		{"no pair", "{endpoint: 'https://c:1', tls: {cert_file: otlp_test.go, key_file: otlp_test.go}}", `otlp.tls.cert_file: tls: failed to find any PEM data in certificate input (allowed a certificate and its key in PEM)`},
		{"misspelt", "endpont: x", `otlp.endpont: unknown key (did you mean endpoint? allowed endpoint, protocol, headers, interval, timeout, compression, tls, names)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := "{otlp: {" + test.text + "}}"
			if test.text[0] == '{' {
				text = "{otlp: " + test.text + "}"
			}
			_, err := load(mustWrite(t, text))
			require.Len(t, Faults(err), 1, "%v", err)
			fault := *Faults(err)[0]
			fault.At = ""
			assert.Equal(t, test.want, fault.Error())
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestOTLPVariablesAndFlags(t *testing.T) {
	t.Setenv("REDIS_OBSERVER_OTLP_ENDPOINT", "http://collector:1")
	t.Setenv("REDIS_OBSERVER_OTLP_HEADERS", "{X-A: b}")
	t.Setenv("REDIS_OBSERVER_OTLP_INTERVAL", "7s")
	c := mustLoad(t, "otlp: {endpoint: 'http://file:1', headers: {y: z}}")
	assert.Equal(t, "http://collector:1", c.OTLP.Endpoint)
	assert.Equal(t, Headers{"x-a": "b"}, c.OTLP.Headers)
	assert.Equal(t, 7*time.Second, c.OTLP.Interval)
	t.Setenv("REDIS_OBSERVER_OTLP_HEADERS", "x-a=b%20c, D = e,")
	assert.Equal(t, Headers{"x-a": "b c", "d": "e"}, mustLoad(t, "").OTLP.Headers)

	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:1")
	c, err := Loader{Flags: mustFlags(t, "--otlp-endpoint", "http://flag:2", "--otlp-protocol", "grpc")}.Load()
	require.NoError(t, err)
	assert.Equal(t, "http://flag:2", c.OTLP.Endpoint)
	assert.Equal(t, GRPC, c.OTLP.Protocol)
	assert.Equal(t, "http://collector:1", mustLoad(t, "").OTLP.Endpoint)
}

// The variables of the specification override the file.
func TestStandardVariables(t *testing.T) {
	const file = "otlp: {endpoint: 'http://file:1', headers: {y: z}, names: prometheus}"
	for name, value := range map[string]string{
		"ENDPOINT": "http://collector:4318/base/", "HEADERS": "a=b", "METRICS_HEADERS": "a=b%2C,c=d", "TIMEOUT": "2500", "COMPRESSION": "gzip",
		"PROTOCOL": "http/protobuf",
	} {
		t.Setenv("OTEL_EXPORTER_OTLP_"+name, value)
	}
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "5000")
	want := OTLP{
		Endpoint: "http://collector:4318/base/v1/metrics", Protocol: HTTPProtobuf, Headers: Headers{"a": "b,", "c": "d"},
		Interval: 5 * time.Second, Timeout: 2500 * time.Millisecond, Compression: Gzip, Names: PrometheusNames,
	}
	assert.Equal(t, want, mustLoad(t, file).OTLP)

	t.Setenv("OTEL_METRICS_EXPORTER", "none")
	assert.Equal(t, "http://file:1", mustLoad(t, file).OTLP.Endpoint)
	assert.Equal(t, time.Minute, mustLoad(t, file).OTLP.Interval)
	assert.Empty(t, mustLoad(t, "").OTLP.Endpoint)
	t.Setenv("OTEL_METRICS_EXPORTER", "prometheus,otlp")
	assert.Equal(t, want, mustLoad(t, file).OTLP)
	t.Setenv("OTEL_SDK_DISABLED", "TRUE")
	assert.Empty(t, mustLoad(t, "").OTLP.Endpoint)
	t.Setenv("OTEL_SDK_DISABLED", "false")

	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
	_, err := load("")
	assert.ErrorContains(t, err, `OTEL_EXPORTER_OTLP_TIMEOUT: otlp.timeout: "soonms" is not a duration`)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	assert.Equal(t, Default(), mustLoad(t, ""), "without an endpoint the others mean nothing")
}

func TestStandardEndpoints(t *testing.T) {
	for _, test := range []struct{ variable, protocol, value, insecure, want string }{
		{"ENDPOINT", "http/protobuf", "http://c:4318", "", "http://c:4318/v1/metrics"},
		{"ENDPOINT", "http/protobuf", "https://c", "", "https://c/v1/metrics"},
		{"METRICS_ENDPOINT", "http/protobuf", "http://c:4318", "", "http://c:4318/"},
		{"METRICS_ENDPOINT", "http/protobuf", "http://p:9090/api/v1/otlp/v1/metrics", "", "http://p:9090/api/v1/otlp/v1/metrics"},
		{"ENDPOINT", "grpc", "http://c:4317/ignored", "", "http://c:4317"},
		{"ENDPOINT", "grpc", "c:4317", "", "https://c:4317"},
		{"ENDPOINT", "grpc", "c:4317", "true", "http://c:4317"},
	} {
		t.Run(test.variable+" "+test.value, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_"+test.variable, test.value)
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", test.protocol)
			t.Setenv("OTEL_EXPORTER_OTLP_INSECURE", test.insecure)
			assert.Equal(t, test.want, mustLoad(t, "").OTLP.Endpoint)
		})
	}
}
