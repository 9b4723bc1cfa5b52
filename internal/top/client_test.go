package top

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/report"
)

// serve returns the first text, and then the second.
func serve(first, second string) http.Handler {
	texts := []string{first, second}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		if user, password, _ := r.BasicAuth(); user+password != "" && user+password != "mesecret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, texts[0])
		texts = texts[1:]
	})
}

func mustText(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(tb, err)
	return string(text)
}

func mustClient(tb testing.TB, httpConfig string, addresses ...string) *Client {
	tb.Helper()
	client, err := NewClient(addresses, httpConfig)
	require.NoError(tb, err)
	return client
}

func TestPrintOnce(t *testing.T) {
	node := httptest.NewServer(serve(mustText(t, "before.prom"), mustText(t, "lossy.prom")))
	defer node.Close()
	var out bytes.Buffer
	require.NoError(t, PrintOnce(context.Background(), &out, mustClient(t, "", strings.TrimPrefix(node.URL, "http://")), 50*time.Millisecond, NewScreen()))
	assert.Regexp(t, `(?m)^session-cache +web-1 +get +\d+ `, out.String())
	assert.Contains(t, out.String(), "30 events (about 2.4 % of all at that time) were lost: the observer's ring buffer was full")

	node.Config.Handler = serve(mustText(t, "before.prom"), mustText(t, "after.prom"))
	out.Reset()
	err := PrintOnce(context.Background(), &out, mustClient(t, "", node.URL, "127.0.0.1:1"), 50*time.Millisecond, NewScreen())
	assert.ErrorIs(t, err, errSilent)
	assert.Contains(t, out.String(), "session-cache")
	assert.Contains(t, out.String(), "127.0.0.1:1 does not answer: dial tcp 127.0.0.1:1: connect: connection refused")
}

func TestPrintJSON(t *testing.T) {
	node := httptest.NewServer(serve(mustText(t, "before.prom"), mustText(t, "after.prom")))
	defer node.Close()
	var out bytes.Buffer
	screen := Screen{By: report.By{Name: true, Command: true}}
	require.NoError(t, PrintJSON(context.Background(), &out, mustClient(t, "", node.URL+"/metrics"), 50*time.Millisecond, screen, true))
	var view struct {
		Exact bool
		Nodes []struct{ Version string }
		Rows  []struct {
			Name, Command string
			Count, P99    float64
			Max           *float64
		}
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &view))
	assert.True(t, view.Exact)
	assert.Equal(t, "1.2.3", view.Nodes[0].Version)
	assert.Equal(t, "brpop", view.Rows[0].Command)
	assert.Equal(t, 0.01, view.Rows[0].P99)
	assert.Nil(t, view.Rows[0].Max)
	assert.NotContains(t, out.String(), `"slow"`)
}

// An observer gives its slow commands, or says why it does not; one that is older has no such place.
func TestSlow(t *testing.T) {
	routes := func(slow http.HandlerFunc) *http.ServeMux {
		mux := http.NewServeMux()
		mux.Handle("/metrics", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			fmt.Fprint(w, mustText(t, "before.prom"))
		}))
		if slow != nil {
			mux.Handle("/slow", slow)
		}
		return mux
	}
	answers := []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) {
			assert.NoError(t, json.NewEncoder(w).Encode(report.Slow{Threshold: time.Millisecond, Size: 2, Seen: 1, Commands: []report.SlowCommand{{Name: "a", Command: "get", Seconds: 0.1, Count: 1}}, Groups: []report.SlowGroup{{Name: "a", Command: "get", Count: 3, Share: 0.1}}}))
		},
		func(w http.ResponseWriter, _ *http.Request) {
			assert.NoError(t, json.NewEncoder(w).Encode(report.Slow{Threshold: time.Millisecond, Size: 2, Seen: 1, Commands: []report.SlowCommand{{Name: "b", Command: "set", Seconds: 0.2, Count: 1}}, Groups: []report.SlowGroup{{Name: "b", Command: "set", Count: 9, Share: 0.9}}}))
		},
		func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "slow commands are not kept (set slow_commands.size)", http.StatusNotFound)
		},
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		nil,
	}
	wants := []string{"1 command took 1ms or longer", "1 command took 1ms or longer", "slow commands are not kept (set slow_commands.size)", "401 unauthorized (name", "read /slow: invalid character", "404 not found"}
	var addresses []string
	for _, answer := range answers {
		node := httptest.NewServer(routes(answer))
		defer node.Close()
		addresses = append(addresses, node.URL)
	}
	client := mustClient(t, "", addresses...)
	all := client.Slow(context.Background())
	for i, want := range wants {
		assert.Contains(t, all.Sentences[strings.TrimPrefix(addresses[i], "http://")], want)
	}
	require.Len(t, all.Commands, 2)
	assert.Equal(t, []string{"b", "a"}, []string{all.Commands[0].Name, all.Commands[1].Name}, "the slowest first")
	assert.Equal(t, strings.TrimPrefix(addresses[1], "http://"), all.Commands[0].Node)

	require.Len(t, all.Groups, 2)
	assert.Equal(t, report.SlowGroup{Node: strings.TrimPrefix(addresses[1], "http://"), Name: "b", Command: "set", Count: 9, Share: 0.9}, all.Groups[0], "the likely cause first")

	screen := NewScreen()
	screen.Shows = SlowCommands
	var out bytes.Buffer
	require.NoError(t, PrintOnce(context.Background(), &out, client, time.Millisecond, screen))
	assert.Regexp(t, `(?m)^00:00:00 +\S+ +b +set +200.00ms`, out.String())
	out.Reset()
	require.NoError(t, PrintJSON(context.Background(), &out, client, time.Millisecond, screen, true))
	var view struct {
		Exact bool
		Slow  Slow
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &view))
	assert.Equal(t, all, view.Slow)
}

// An observer gives its addresses, or says why it does not; one that is older has no such place.
func TestObservedAddresses(t *testing.T) {
	answers := []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) {
			assert.NoError(t, json.NewEncoder(w).Encode(report.Addresses{Named: []report.Named{{Name: "a", Role: "client", Address: "a:6379"}}, Unnamed: []report.Unnamed{{Address: "10.0.0.1:6379", Role: "client", Connections: 1}}}))
		},
		func(w http.ResponseWriter, _ *http.Request) {
			assert.NoError(t, json.NewEncoder(w).Encode(report.Addresses{Unnamed: []report.Unnamed{{Address: "10.0.0.2:6379", Role: "server", Connections: 5}}}))
		},
		func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "addresses are not served: anybody could read them", http.StatusNotFound)
		},
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		nil,
	}
	wants := []string{"1 connection to 1 address on observed ports has", "5 connections to ", "addresses are not served: anybody could read them", "read /addresses: invalid character", "404 not found"}
	var addresses []string
	for _, answer := range answers {
		mux := http.NewServeMux()
		mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			fmt.Fprint(w, mustText(t, "before.prom"))
		})
		if answer != nil {
			mux.Handle("/addresses", answer)
		}
		node := httptest.NewServer(mux)
		defer node.Close()
		addresses = append(addresses, node.URL)
	}
	client := mustClient(t, "", addresses...)
	all := client.Addresses(context.Background())
	for i, want := range wants {
		assert.Contains(t, all.Sentences[strings.TrimPrefix(addresses[i], "http://")], want)
	}
	require.Len(t, all.Unnamed, 2)
	assert.Equal(t, []string{"10.0.0.2:6379", "10.0.0.1:6379"}, []string{all.Unnamed[0].Address, all.Unnamed[1].Address}, "the most connections first")
	assert.Equal(t, strings.TrimPrefix(addresses[1], "http://"), all.Unnamed[0].Node)
	require.Len(t, all.Named, 1)

	screen := NewScreen()
	screen.Shows = AllAddresses
	var out bytes.Buffer
	require.NoError(t, PrintOnce(context.Background(), &out, client, time.Millisecond, screen))
	assert.Regexp(t, `(?m)^\S+ +no name +10\.0\.0\.2:6379 +server +5$`, ansi.Strip(out.String()))
	assert.Regexp(t, `(?m)^\S+ +a +a:6379 +client$`, ansi.Strip(out.String()))
	out.Reset()
	require.NoError(t, PrintJSON(context.Background(), &out, client, time.Millisecond, screen, true))
	var view struct {
		Slow      *Slow
		Addresses Addresses
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &view))
	assert.Equal(t, all, view.Addresses)
	assert.Nil(t, view.Slow)
}

// A line for each interval, until the user ends it.
func TestPrintJSONLines(t *testing.T) {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, mustText(t, "before.prom"))
	}))
	defer node.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	require.NoError(t, PrintJSON(ctx, &out, mustClient(t, "", node.URL), 50*time.Millisecond, Screen{}, false))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	assert.Greater(t, len(lines), 1)
	for _, line := range lines {
		assert.True(t, json.Valid([]byte(line)))
	}
}

// TLS and authentication are set as for Prometheus, with files relative to that of the settings.
func TestTLSAndAuthentication(t *testing.T) {
	node := httptest.NewTLSServer(serve(mustText(t, "before.prom"), mustText(t, "before.prom")))
	defer node.Close()
	directory := t.TempDir()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: node.Certificate().Raw})
	require.NoError(t, os.WriteFile(filepath.Join(directory, "ca.pem"), authority, 0o600))
	settings := filepath.Join(directory, "client.yaml")
	write := func(password string) {
		text := "basic_auth: {username: me, password: " + password + "}\ntls_config: {ca_file: ca.pem, server_name: example.com}\n"
		require.NoError(t, os.WriteFile(settings, []byte(text), 0o600))
	}
	write("secret")
	samples, failures := mustClient(t, settings, node.URL).Scrape(context.Background())
	assert.Empty(t, failures)
	require.Len(t, samples, 1)
	assert.Equal(t, strings.TrimPrefix(node.URL, "https://"), samples[0].Node)

	write("wrong")
	_, failures = mustClient(t, settings, node.URL).Scrape(context.Background())
	assert.ErrorContains(t, failures[samples[0].Node], "401 unauthorized (name a file with basic_auth or authorization by --http-config)")
	_, failures = mustClient(t, "", node.URL).Scrape(context.Background())
	assert.ErrorContains(t, failures[samples[0].Node], "certificate")
}

func TestOtherEndpoints(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"these are not the metrics of a redis-observer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, "redis_commands_total{cmd=\"get\"} 1\n")
		},
		"not the metrics of": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"404 not found":      http.NotFound,
	} {
		node := httptest.NewServer(handler)
		_, failures := mustClient(t, "", node.URL).Scrape(context.Background())
		require.Len(t, failures, 1)
		for _, err := range failures {
			assert.ErrorContains(t, err, name)
		}
		node.Close()
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"node:9479": "http://node:9479/metrics", "https://node:9479/": "https://node:9479/metrics", "http://node/observer/metrics": "http://node/observer/metrics",
		"[::1]:9479": "http://[::1]:9479/metrics",
	} {
		got, err := urlOf(address)
		assert.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for target, want := range map[string]string{
		"http://node:9479/metrics": "node:9479", "http://node/a/metrics?token=x": "node/a/metrics", "http://node/b": "node/b",
	} {
		assert.Equal(t, want, nodeOf(target), "two observers behind one host are two nodes")
	}
	for _, address := range []string{"ftp://node", "http://", "unix:/run/x"} {
		_, err := NewClient([]string{address}, "")
		assert.ErrorContains(t, err, "is not the address of an observer", address)
	}
	_, err := NewClient(nil, "/nonexistent")
	assert.ErrorContains(t, err, "write it like http_config of Prometheus")
}
