package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/redis-observer/redis-observer/internal/plainfile"
)

// Limits of one request. A scrape of 10,000 series takes milliseconds; the rest is for slow
// readers.
const (
	headerLimit  = 16 << 10
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute // longer than common scrape intervals, so that Prometheus keeps its connection
)

// http2Limits limits an HTTP/2 connection. The defaults are 250 streams and frames of 1 MiB.
var http2Limits = http.HTTP2Config{
	MaxConcurrentStreams:          4,
	MaxReadFrameSize:              16 << 10,
	MaxReceiveBufferPerConnection: 64 << 10,
	MaxReceiveBufferPerStream:     16 << 10,
}

// Options configure a Server.
type Options struct {
	Listen    string       // host:port
	WebConfig string       // web configuration file of the exporter toolkit; may be empty
	Metrics   http.Handler // handles /metrics
	Page      http.Handler // handles /
	Live      http.Handler // handles /live.json, the data of the page
	Slow      http.Handler // handles /slow
	Addresses http.Handler // handles /addresses
	Ready     func() error // nil while the probes are attached and read
	Logger    *slog.Logger
}

// Server is a bound HTTP endpoint.
type Server struct {
	listener  net.Listener
	http      *http.Server
	webConfig string
	logger    *slog.Logger
}

// CheckWebConfig validates the web configuration and the files in it, as the server reads them
// while it runs. It returns nil for an empty path.
func CheckWebConfig(path string) error {
	if path == "" {
		return nil
	}
	if err := plainfile.Check(path); err != nil {
		return fmt.Errorf("read web configuration: %w (correct web_config)", err)
	}
	if err := web.Validate(path); err != nil {
		return fmt.Errorf("read web configuration %s: %w (correct web_config)", path, err)
	}
	return nil
}

// Listen binds the address. Requests wait until Serve.
func Listen(o Options) (*Server, error) {
	if err := CheckWebConfig(o.WebConfig); err != nil {
		return nil, err
	}
	listener, err := listen(context.Background(), o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w (choose another address with listen)", o.Listen, errors.Unwrap(err))
	}
	return &Server{
		listener:  newLimitedListener(listener, o.Logger),
		webConfig: o.WebConfig,
		logger:    o.Logger,
		http: &http.Server{
			Handler:           busy(routes(o)),
			MaxHeaderBytes:    headerLimit,
			ReadHeaderTimeout: readTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			HTTP2:             &http2Limits,
			ConnContext:       withConn,
			ErrorLog:          log.New(httpLog{o.Logger}, "", 0),
		},
	}, nil
}

// httpLog logs the errors of the HTTP server about clients under one message. The log is limited
// per message, and these errors contain the address of the client.
type httpLog struct{ logger *slog.Logger }

// Write implements io.Writer.
func (l httpLog) Write(line []byte) (int, error) {
	l.logger.Debug("HTTP client error", "error", string(bytes.TrimSpace(line)))
	return len(line), nil
}

// Address returns the bound address.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Addr returns the bound address.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers requests until Shutdown.
func (s *Server) Serve() error {
	flags := &web.FlagConfig{WebConfigFile: &s.webConfig}
	if s.webConfig != "" {
		s.http.BaseContext = func(net.Listener) context.Context {
			// The toolkit has wrapped the handler by now, and reads the file for each request.
			s.http.Handler = readable(s.webConfig, s.http.Handler)
			return context.Background()
		}
	}
	if err := web.Serve(s.listener, s.http, flags, s.logger); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", s.Address(), err)
	}
	return nil
}

// readable rejects requests while the web configuration is a file that would block the reader or
// exhaust memory.
func readable(webConfig string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if plainfile.Check(webConfig) != nil {
			http.Error(w, "the web configuration cannot be read", http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Shutdown waits for requests in progress until ctx ends, then closes their connections.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	// Before Serve, the HTTP server does not have the listener yet.
	_ = s.listener.Close()
	return nil
}
