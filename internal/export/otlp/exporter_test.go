package otlp

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/export/otlp/otlptest"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/metrics"
	"github.com/redis-observer/redis-observer/test/kit"
)

const soon = 30 * time.Second

func testOptions(r *metrics.Recorder, url string, grpc bool) Options {
	return Options{
		Endpoint: url, GRPC: grpc, Interval: 50 * time.Millisecond, Timeout: 300 * time.Millisecond, Version: "1.2.3",
		Gather: r.Gather, Logger: slog.New(slog.DiscardHandler),
	}
}

// mustStart starts an exporter, which ends with the test.
func mustStart(t *testing.T, options Options) *Exporter {
	t.Helper()
	e, err := New(t.Context(), options)
	require.NoError(t, err)
	e.Start(t.Context())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = e.Shutdown(ctx) // the collector may be gone
	})
	return e
}

// protocols runs a test for both.
func protocols(t *testing.T, test func(t *testing.T, grpc bool)) {
	for name, grpc := range map[string]bool{"grpc": true, "http": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, grpc)
		})
	}
}

func TestExport(t *testing.T) {
	t.Setenv("NODE_NAME", "node-1")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.instance.id=mine")
	for name, grpc := range map[string]bool{"grpc": true, "http": false} {
		for _, gzip := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				c, r := otlptest.Start(t, grpc, "", nil), mustRecord(false, false)
				options := testOptions(r, "http://"+c.Address, grpc)
				options.Headers, options.Gzip = map[string]string{"authorization": "Bearer x"}, gzip
				e := mustStart(t, options)
				c.Within(t, soon, func() bool { return c.Sum("redis_commands_total", "command=get", "status=success") == 1200 }, "the commands arrive")
				assert.Equal(t, "Bearer x", c.Header("authorization"))
				resource := c.Resource()
				assert.Equal(t, "redis-observer", resource["service.name"])
				assert.Equal(t, "1.2.3", resource["service.version"])
				assert.Equal(t, "node-1", resource["k8s.node.name"])
				assert.Equal(t, "mine", resource["service.instance.id"])
				assert.Equal(t, "test", resource["deployment.environment.name"])
				host, _ := os.Hostname()
				assert.Equal(t, host, resource["host.name"])
				c.Within(t, soon, func() bool { return e.Stats().Results[success] > 0 }, "the success counts")
				assert.WithinDuration(t, time.Now(), e.Stats().LastSuccess, soon)
			})
		}
	}
}

// Whatever the collector does, exporting goes on, the result counts, and what was counted meanwhile
// arrives once the collector accepts again.
func TestBadCollector(t *testing.T) {
	for _, bad := range []struct {
		name   string
		answer otlptest.Answer
		result string
	}{
		{"slow", otlptest.Hang, timedOut},
		{"unavailable", otlptest.Unavailable, failed},
		{"refusing", otlptest.Refuse, rejected},
		{"partial", otlptest.Partial, rejected},
	} {
		t.Run(bad.name, func(t *testing.T) {
			protocols(t, func(t *testing.T, grpc bool) {
				c, r := otlptest.Start(t, grpc, "", nil), mustRecord(false, false)
				c.Set(bad.answer)
				e := mustStart(t, testOptions(r, "http://"+c.Address, grpc))
				c.Within(t, soon, func() bool { return e.Stats().Results[bad.result] >= 2 }, "the result counts")
				assert.Zero(t, e.Stats().Results[success])
				assert.True(t, e.Stats().LastSuccess.IsZero())
				r.Record(&session.Exchange{Command: command.Get, Count: 1000, Duration: 1000})
				c.Set(otlptest.Accept)
				c.Within(t, soon, func() bool { return c.Sum("redis_commands_total", "command=get", "status=success") == 2200 }, "all commands arrive")
				assert.NotZero(t, c.Requests())
			})
		})
	}
}

// A collector that is away at first, and that one is there again.
func TestCollectorAway(t *testing.T) {
	protocols(t, func(t *testing.T, grpc bool) {
		reserved, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		address := reserved.Addr().String()
		require.NoError(t, reserved.Close())
		r := mustRecord(false, false)
		e := mustStart(t, testOptions(r, "http://"+address, grpc))
		require.Eventually(t, func() bool { return e.Stats().Results[failed] >= 2 }, soon, 10*time.Millisecond)
		c := otlptest.Start(t, grpc, address, nil)
		c.Within(t, soon, func() bool { return c.Sum("redis_commands_total", "command=get", "status=success") == 1200 }, "all commands arrive")
	})
}

// The end takes no longer than it may, and exports what is new if it can.
func TestShutdown(t *testing.T) {
	protocols(t, func(t *testing.T, grpc bool) {
		for _, answer := range []otlptest.Answer{otlptest.Accept, otlptest.Hang} {
			c, r := otlptest.Start(t, grpc, "", nil), mustRecord(false, false)
			c.Set(answer)
			options := testOptions(r, "http://"+c.Address, grpc)
			options.Interval, options.Timeout = time.Hour, time.Hour
			e, err := New(t.Context(), options)
			require.NoError(t, err)
			e.Start(t.Context())
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			err = e.Shutdown(ctx)
			cancel()
			assert.Less(t, time.Since(began), 10*time.Second)
			if answer == otlptest.Accept {
				assert.NoError(t, err)
				assert.Equal(t, 1200.0, c.Sum("redis_commands_total", "command=get", "status=success"))
			}
		}
	})
	e, err := New(t.Context(), testOptions(mustRecord(false, false), "http://127.0.0.1:1", true))
	require.NoError(t, err)
	assert.NoError(t, e.Shutdown(t.Context()), "one that has not begun")
}

// Collectors take requests of 4 MiB, so many series are several requests.
func TestManySeries(t *testing.T) {
	protocols(t, func(t *testing.T, grpc bool) {
		identities := identity.NewRegistry("name")
		for i := range 10 {
			identities.Intern("a rather long logical name, as long as they get, number " + string(rune('a'+i%26)) + big.NewInt(int64(i)).String())
		}
		r := metrics.New(metrics.Options{
			Buckets:  []float64{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
			Commands: command.Builtin(), Identities: identities, DurationsByError: true, Logger: slog.New(slog.DiscardHandler),
		})
		for _, id := range identities.IDs() {
			for c := range command.ID(60) {
				r.Record(&session.Exchange{Identity: id, Command: c, Count: 1, Duration: 60_000})
			}
		}
		c := otlptest.Start(t, grpc, "", nil)
		options := testOptions(r, "http://"+c.Address, grpc)
		options.Interval, options.Timeout, options.Gather, options.Semconv = time.Second, 20*time.Second, r.GatherByError, testSemconv()
		mustStart(t, options)
		c.Within(t, soon, func() bool {
			return c.Sum("db.client.operation.duration_count") == 10*60 && c.Sum("redis_observer_build_info") == 1 // the last one
		}, "all series arrive")
		t.Logf("greatest request: %d bytes", c.MaxSize())
		assert.Less(t, c.MaxSize(), 1<<20)
		assert.Greater(t, c.Requests(), 3)
	})
}

// mustCertify writes a certificate, for both ends.
func mustCertify(t *testing.T) kit.Certificate {
	t.Helper()
	certificate, err := kit.NewCertificate(t.TempDir())
	require.NoError(t, err)
	return certificate
}

// Both ends prove who they are. An unknown collector gets nothing.
func TestTLS(t *testing.T) {
	protocols(t, func(t *testing.T, grpc bool) {
		certificate := mustCertify(t)
		pair, err := tls.LoadX509KeyPair(certificate.File, certificate.Key)
		require.NoError(t, err)
		c := otlptest.Start(t, grpc, "", &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: certificate.ClientConfig().RootCAs,
			NextProtos: []string{"h2", "http/1.1"},
		})
		r := mustRecord(false, false)
		options := testOptions(r, "https://"+c.Address, grpc)
		options.Timeout = 5 * time.Second
		options.TLS, err = (&config.ClientTLS{}).Config()
		require.NoError(t, err)
		stranger := mustStart(t, options)
		c.Within(t, soon, func() bool { return stranger.Stats().Results[failed]+stranger.Stats().Results[timedOut] > 0 }, "the result counts")
		assert.Zero(t, c.Requests())

		options.TLS, err = (&config.ClientTLS{CAFile: certificate.File, CertFile: certificate.File, KeyFile: certificate.Key, ServerName: "localhost"}).Config()
		require.NoError(t, err)
		mustStart(t, options)
		c.Within(t, soon, func() bool { return c.Sum("redis_commands_total", "command=get", "status=success") == 1200 }, "the commands arrive")
	})
	_, err := (&config.ClientTLS{CAFile: "/nonexistent"}).Config()
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = (&config.ClientTLS{CertFile: "/nonexistent", KeyFile: "/nonexistent"}).Config()
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// Variables of the specification that the configuration has not taken have no effect.
func TestVariablesOfTheSDKAreIgnored(t *testing.T) {
	certificate := mustCertify(t)
	for name, value := range map[string]string{
		"ENDPOINT": "https://192.0.2.1:1", "HEADERS": "x-other=1", "CERTIFICATE": certificate.File, "CLIENT_CERTIFICATE": certificate.File, "CLIENT_KEY": certificate.Key,
		"COMPRESSION": "gzip", "TIMEOUT": "1", "METRICS_TEMPORALITY_PREFERENCE": "delta", "INSECURE": "false",
	} {
		t.Setenv("OTEL_EXPORTER_OTLP_"+name, value)
	}
	for name, grpc := range map[string]bool{"grpc": true, "http": false} {
		t.Run(name, func(t *testing.T) {
			c, r := otlptest.Start(t, grpc, "", nil), mustRecord(false, false)
			mustStart(t, testOptions(r, "http://"+c.Address, grpc))
			c.Within(t, soon, func() bool { return c.Sum("redis_commands_total", "command=get", "status=success") == 1200 }, "the commands arrive")
			assert.Empty(t, c.Header("x-other"))
			assert.Empty(t, c.Header("content-encoding")+c.Header("grpc-encoding"))
		})
	}
}
