package otlp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// mustListen listens, and closes what it accepts after it has read something of it.
func mustListen(t *testing.T, secure *tls.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	address := listener.Addr().String()
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 1)) // the end is an error too
				_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			}()
		}
	}()
	return address
}

func TestReach(t *testing.T) {
	authority, err := kit.NewCertificate(t.TempDir())
	require.NoError(t, err)
	trusted := authority.ClientConfig()
	pair, err := tls.LoadX509KeyPair(authority.File, authority.Key)
	require.NoError(t, err)
	open, secure := mustListen(t, nil), mustListen(t, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	// Connections wait in its queue, so that a handshake has no end.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })

	named := trusted.Clone()
	named.ServerName = "elsewhere.example"
	for _, test := range []struct {
		name     string
		endpoint string
		secure   *tls.Config
		want     []string // in the error; nil: there is none
	}{
		{"open", "http://" + open, nil, nil},
		{"with a path", "http://" + open + "/api/v1/otlp/v1/metrics", nil, nil},
		{"TLS", "https://" + secure, trusted, nil},
		{"refused", "http://" + closed.Addr().String(), nil, []string{"connection refused", "(start the collector, or correct the port"}},
		{"unknown name", "http://collector.invalid:4318", nil, []string{"collector.invalid", "(correct the name, or the resolver"}},
		{"plain", "https://" + open, trusted, []string{"does not look like a TLS handshake", "(it takes no TLS: write http://)"}},
		{"unknown authority", "https://" + secure, &tls.Config{RootCAs: x509.NewCertPool()}, []string{"unknown authority", "by otlp.tls.ca_file)"}},
		{"another name", "https://" + secure, named, []string{"elsewhere.example", "otlp.tls.server_name)"}},
		{"silent", "https://" + silent.Addr().String(), trusted, []string{"deadline exceeded", "(a firewall or network policy"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			protocols(t, func(t *testing.T, grpc bool) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := Reach(ctx, &Options{Endpoint: test.endpoint, GRPC: grpc, TLS: test.secure})
				if test.want == nil {
					require.NoError(t, err)
				}
				for _, want := range test.want {
					assert.ErrorContains(t, err, want)
				}
			})
		})
	}
}

// Through a proxy, only that is reached: the name of the collector may be known to nobody else.
func TestReachThroughProxy(t *testing.T) {
	protocols(t, func(t *testing.T, grpc bool) {
		open := mustListen(t, nil)
		proxy := func(address string) func(*http.Request) (*url.URL, error) {
			return func(r *http.Request) (*url.URL, error) {
				assert.Equal(t, "collector.invalid:4318", r.URL.Host)
				assert.Equal(t, map[bool]string{true: "https", false: "http"}[grpc], r.URL.Scheme)
				return &url.URL{Scheme: "http", Host: address, User: url.UserPassword("me", "secret")}, nil
			}
		}
		options := Options{Endpoint: "http://collector.invalid:4318", GRPC: grpc}
		require.NoError(t, reach(t.Context(), &options, proxy(open)))
		err := reach(t.Context(), &options, proxy("proxy.invalid:3128"))
		require.ErrorContains(t, err, "proxy http://me:xxxxx@proxy.invalid:3128: ")
		assert.NotContains(t, err.Error(), "secret")
	})
}
