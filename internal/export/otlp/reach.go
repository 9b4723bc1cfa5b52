package otlp

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// Reach connects to the collector of these options as an export would, or to the proxy on the way
// there, and sends nothing. It says whether somebody listens and, with TLS and no proxy, whether both
// ends agree; whether it is a collector, only an export can say. An error names the remedy.
func Reach(ctx context.Context, options *Options) error {
	return reach(ctx, options, http.ProxyFromEnvironment)
}

func reach(ctx context.Context, options *Options, proxyOf func(*http.Request) (*url.URL, error)) error {
	endpoint, err := url.Parse(options.Endpoint)
	if err != nil {
		return err
	}
	target, via := endpoint, *endpoint
	if options.GRPC {
		via.Scheme = "https" // whatever it is: gRPC asks proxies for a tunnel
	}
	proxy, err := proxyOf(&http.Request{URL: &via})
	if err != nil {
		return fmt.Errorf("%w (correct HTTP_PROXY, HTTPS_PROXY)", err)
	}
	if proxy != nil {
		target = proxy
	}
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", hostPort(target))
	if err == nil {
		defer connection.Close()
		if proxy == nil && options.TLS != nil {
			err = shakeHands(ctx, connection, endpoint, options)
		}
	}
	if err == nil {
		return nil
	}
	if proxy != nil {
		err = fmt.Errorf("proxy %s: %w", proxy.Redacted(), err)
	}
	return fmt.Errorf("%w (%s)", err, remedy(err))
}

// hostPort returns the host and port of a URL.
func hostPort(u *url.URL) string {
	port := "80"
	if strings.EqualFold(u.Scheme, "https") {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
}

func shakeHands(ctx context.Context, connection net.Conn, endpoint *url.URL, options *Options) error {
	secure := options.TLS.Clone()
	secure.ServerName = cmp.Or(secure.ServerName, endpoint.Hostname())
	secure.NextProtos = []string{"h2"}
	if !options.GRPC {
		secure.NextProtos = append(secure.NextProtos, "http/1.1")
	}
	return tls.Client(connection, secure).HandshakeContext(ctx)
}

// remedy returns what to do about an error of Reach.
func remedy(err error) string {
	var (
		unknownName *net.DNSError
		plain       tls.RecordHeaderError
		authority   x509.UnknownAuthorityError
		name        x509.HostnameError
		timeout     net.Error
	)
	switch {
	case errors.As(err, &unknownName):
		return "correct the name, or the resolver of this host"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "start the collector, or correct the port: usually 4317 for grpc, 4318 for http/protobuf"
	case errors.As(err, &plain):
		return "it takes no TLS: write http://"
	case errors.As(err, &authority):
		return "name who signed its certificate by otlp.tls.ca_file"
	case errors.As(err, &name):
		return "write a name of its certificate, or give that by otlp.tls.server_name"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "a firewall or network policy may drop it"
	}
	return "look at the log of the collector"
}
