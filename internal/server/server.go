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

// Limits of one request. A scrape of ten thousand series takes milliseconds: the time is for the reader.
const (
	headerLimit  = 16 << 10
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute // longer than the usual scrape interval, so that Prometheus keeps its connection
)

// http2Limits are what one connection may take by HTTP/2. The defaults are 250 streams and frames of 1 MiB.
var http2Limits = http.HTTP2Config{
	MaxConcurrentStreams:          4,
	MaxReadFrameSize:              16 << 10,
	MaxReceiveBufferPerConnection: 64 << 10,
	MaxReceiveBufferPerStream:     16 << 10,
}

// Options say what is served, and where.
type Options struct {
	Listen    string       // host:port
	WebConfig string       // web configuration file of the exporter toolkit; may be empty
	Version   string       // shown on the landing page
	Metrics   http.Handler // answers /metrics
	Ready     func() error // nil when the probes are attached and read
	Logger    *slog.Logger
}

// Server is a bound endpoint.
type Server struct {
	listener  net.Listener
	http      *http.Server
	webConfig string
	logger    *slog.Logger
}

// CheckWebConfig reads the web configuration, and all that it names, as it will be read again while the server runs. An empty path is none.
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

// Listen binds the address of the endpoint. Requests wait until Serve.
func Listen(o Options) (*Server, error) {
	if err := CheckWebConfig(o.WebConfig); err != nil {
		return nil, err
	}
	routes, err := routes(o)
	if err != nil {
		return nil, err
	}
	listener, err := listen(context.Background(), o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w (choose another address with listen)", o.Listen, errors.Unwrap(err))
	}
	return &Server{
		listener:  newCrowd(listener, o.Logger),
		webConfig: o.WebConfig,
		logger:    o.Logger,
		http: &http.Server{
			Handler:           busy(routes),
			MaxHeaderBytes:    headerLimit,
			ReadHeaderTimeout: readTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			HTTP2:             &http2Limits,
			ConnContext:       withGuest,
			ErrorLog:          log.New(complaints{o.Logger}, "", 0),
		},
	}, nil
}

// complaints logs what the HTTP server says of its clients: as one message, because each holds an address, and messages that repeat
// themselves are told from others by their text.
type complaints struct{ logger *slog.Logger }

// Write implements io.Writer.
func (c complaints) Write(line []byte) (int, error) {
	c.logger.Debug("HTTP client error", "error", string(bytes.TrimSpace(line)))
	return len(line), nil
}

// Address returns the address that was bound.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Serve answers requests until Shutdown.
func (s *Server) Serve() error {
	flags := &web.FlagConfig{WebConfigFile: &s.webConfig}
	if s.webConfig != "" {
		s.http.BaseContext = func(net.Listener) context.Context {
			// By now the toolkit has put its own handler around ours, which reads the file with every request.
			s.http.Handler = readable(s.webConfig, s.http.Handler)
			return context.Background()
		}
	}
	if err := web.Serve(s.listener, s.http, flags, s.logger); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", s.Address(), err)
	}
	return nil
}

// readable refuses requests while the web configuration is something that would block its reader, or take memory without end.
func readable(webConfig string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if plainfile.Check(webConfig) != nil {
			http.Error(w, "the web configuration cannot be read", http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Shutdown lets requests under way finish while ctx lasts, then ends them.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	// A server that was shut down before Serve does not know its listener.
	_ = s.listener.Close()
	return nil
}
