package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/redis-observer/redis-observer/internal/plainfile"
)

// OTLP configures the export of metrics to a collector. Without an endpoint there is none.
type OTLP struct {
	Endpoint    string        `mapstructure:"endpoint"`
	Protocol    string        `mapstructure:"protocol"`
	Headers     Headers       `mapstructure:"headers"`
	Interval    time.Duration `mapstructure:"interval"`
	Timeout     time.Duration `mapstructure:"timeout"`
	Compression string        `mapstructure:"compression"`
	TLS         ClientTLS     `mapstructure:"tls"`
	Names       string        `mapstructure:"names"`
}

// Headers are sent with each request. In a variable they may have the form of OTEL_EXPORTER_OTLP_HEADERS,
// name=value,name=value with percent-encoded values.
type Headers map[string]string

// ClientTLS configures connections of a client. Empty texts are the defaults of the system.
type ClientTLS struct {
	CAFile     string `mapstructure:"ca_file"`
	CertFile   string `mapstructure:"cert_file"`
	KeyFile    string `mapstructure:"key_file"`
	ServerName string `mapstructure:"server_name"`
}

// The values of otlp.protocol, otlp.compression and otlp.names.
const (
	GRPC            = "grpc"
	HTTPProtobuf    = "http/protobuf"
	NoCompression   = "none"
	Gzip            = "gzip"
	SemconvNames    = "semconv"
	PrometheusNames = "prometheus"
)

// Limits of configured values.
const (
	minExport        = time.Second
	maxExport        = time.Hour
	minExportTimeout = 100 * time.Millisecond
)

const endpointForms = "allowed http://collector:4318, https://collector:4318/path, with protocol grpc http://collector:4317"

func (o *OTLP) validate(found *faultList) {
	if o.Protocol != GRPC && o.Protocol != HTTPProtobuf {
		found.add("otlp.protocol", unknownValue(o.Protocol, GRPC, HTTPProtobuf))
	}
	if o.Compression != NoCompression && o.Compression != Gzip {
		found.add("otlp.compression", unknownValue(o.Compression, NoCompression, Gzip))
	}
	if o.Names != SemconvNames && o.Names != PrometheusNames {
		found.add("otlp.names", unknownValue(o.Names, SemconvNames, PrometheusNames))
	}
	if o.Interval < minExport || o.Interval > maxExport {
		found.add("otlp.interval", &Fault{Cause: o.Interval.String() + " is out of range", Allowed: "allowed 1s to 1h"})
	}
	if o.Timeout < minExportTimeout || o.Timeout > maxExport {
		found.add("otlp.timeout", &Fault{Cause: o.Timeout.String() + " is out of range", Allowed: "allowed 100ms to 1h"})
	}
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		found.add("otlp.headers."+name, headerFault(name, o.Headers[name]))
	}
	if o.Endpoint == "" {
		return
	}
	found.add("otlp.endpoint", o.endpointFault())
	o.TLS.validate(found, strings.HasPrefix(strings.ToLower(o.Endpoint), "http:"))
}

func (o *OTLP) endpointFault() *Fault {
	endpoint, err := url.Parse(o.Endpoint)
	scheme := ""
	if err == nil {
		scheme = strings.ToLower(endpoint.Scheme)
	}
	switch {
	case !strings.Contains(o.Endpoint, "://"):
		return &Fault{Cause: strconv.Quote(o.Endpoint) + " does not say whether it takes TLS", Allowed: fmt.Sprintf("write http://%s, or https://%[1]s for TLS", o.Endpoint)}
	case err != nil:
		return &Fault{Cause: "is not a URL", Allowed: endpointForms}
	case scheme != "http" && scheme != "https":
		return &Fault{Cause: strconv.Quote(endpoint.Scheme) + " is not a scheme of OTLP", Allowed: endpointForms}
	case endpoint.User != nil: // which must not be in a message
		return &Fault{Cause: "has a user and password", Allowed: "send them by otlp.headers: {authorization: Basic …}"}
	case endpoint.Hostname() == "":
		return &Fault{Cause: strconv.Quote(o.Endpoint) + " has no host", Allowed: endpointForms}
	case endpoint.RawQuery != "" || endpoint.Fragment != "":
		return &Fault{Cause: strconv.Quote(o.Endpoint) + " has more than a path", Allowed: endpointForms}
	case o.Protocol == GRPC && endpoint.Port() == "":
		return &Fault{Cause: strconv.Quote(o.Endpoint) + " has no port", Allowed: "write " + o.Endpoint + ":4317"}
	case o.Protocol == GRPC && strings.Trim(endpoint.Path, "/") != "":
		return &Fault{Cause: strconv.Quote(o.Endpoint) + " has a path, which gRPC does not know", Allowed: "remove it, or write protocol: http/protobuf"}
	}
	return nil
}

// headerFault names no value, which may be a secret.
func headerFault(name, value string) *Fault {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return &Fault{Cause: strconv.Quote(name) + " is not the name of a header", Allowed: "allowed letters, digits and hyphens, as in authorization"}
	case strings.HasPrefix(name, "grpc-") || name == "content-type" || name == "content-encoding" || name == "te":
		return &Fault{Cause: "belongs to the protocol", Allowed: "remove it"}
	case !httpguts.ValidHeaderFieldValue(value):
		return &Fault{Cause: "has characters that no header may have", Allowed: "allowed one line of printable text"}
	}
	return nil
}

func (t *ClientTLS) validate(found *faultList, plain bool) {
	if plain {
		if *t != (ClientTLS{}) {
			found.add("otlp.tls", &Fault{Cause: "the endpoint takes no TLS", Allowed: "write https:// in otlp.endpoint, or remove it"})
		}
		return
	}
	if t.CAFile != "" {
		if _, err := t.authorities(); err != nil {
			found.add("otlp.tls.ca_file", &Fault{Cause: err.Error(), Allowed: "allowed the path of certificates in PEM"})
		}
	}
	switch {
	case t.CertFile == "" && t.KeyFile == "":
	case t.KeyFile == "":
		found.add("otlp.tls.cert_file", &Fault{Cause: "has no key", Allowed: "name the key by otlp.tls.key_file"})
	case t.CertFile == "":
		found.add("otlp.tls.key_file", &Fault{Cause: "has no certificate", Allowed: "name the certificate by otlp.tls.cert_file"})
	default:
		if _, err := t.pair(); err != nil {
			found.add("otlp.tls.cert_file", &Fault{Cause: err.Error(), Allowed: "allowed a certificate and its key in PEM"})
		}
	}
}

// Config returns the configuration of connections. The certificate of the client is read again for
// each connection, because it may have been renewed.
func (t *ClientTLS) Config() (*tls.Config, error) {
	config := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pool, err := t.authorities()
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if t.CertFile != "" {
		pair := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := t.pair()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.CertFile, err)
			}
			return pair, nil
		}
		if _, err := pair(nil); err != nil {
			return nil, err
		}
		config.GetClientCertificate = pair
	}
	return config, nil
}

// authorities reads the certificates that may sign the server's.
func (t *ClientTLS) authorities() (*x509.CertPool, error) {
	pem, err := plainfile.Read(t.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", t.CAFile)
	}
	return pool, nil
}

// pair reads the certificate of the client and its key.
func (t *ClientTLS) pair() (*tls.Certificate, error) {
	certificate, err := plainfile.Read(t.CertFile)
	if err != nil {
		return nil, err
	}
	key, err := plainfile.Read(t.KeyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

// Files returns the files that belong to the connections.
func (t *ClientTLS) Files() []string {
	var files []string
	for _, file := range []string{t.CAFile, t.CertFile, t.KeyFile} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}

// decodeHeaders parses headers in YAML, or in the form of OTEL_EXPORTER_OTLP_HEADERS. Names are
// lower case, as in a file.
func decodeHeaders(text string) (any, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		value, err := decodeText(text, headersType)
		return lowerKeys(value), err
	}
	headers := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		decoded, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.ToLower(strings.TrimSpace(name)); !found || name == "" || err != nil {
			return nil, &Fault{Cause: "is not a list of headers", Allowed: "allowed name=value,name=value with percent-encoded values"}
		}
		headers[name] = decoded
	}
	return headers, nil
}

// lowerKeys returns a map of YAML with the keys of a file.
func lowerKeys(value any) any {
	given, isMap := value.(map[string]any)
	if !isMap {
		return value
	}
	lower := make(map[string]any, len(given))
	for key, element := range given {
		lower[strings.ToLower(key)] = element
	}
	return lower
}
