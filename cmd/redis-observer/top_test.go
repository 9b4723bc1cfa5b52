package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/top"
)

// mustText writes a file and returns its path.
func mustText(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "file.yaml")
	require.NoError(tb, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// runTop runs top without a terminal, and returns its status and all that it printed.
func runTop(args ...string) (status int, output string) {
	var out bytes.Buffer
	status = run(context.Background(), append([]string{"top"}, args...), &out, &out)
	return status, out.String()
}

func TestTop(t *testing.T) {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, "# TYPE redis_observer_build_info gauge\nredis_observer_build_info{version=\"1.2.3\"} 1\n")
	}))
	defer node.Close()
	address := strings.TrimPrefix(node.URL, "http://")
	status, output := runTop(node.URL, "--once", "--interval", "100ms")
	assert.Equal(t, 0, status, output)
	assert.Contains(t, output, "NAME  COMMAND")
	assert.NotContains(t, output, "\x1b", "no styles without a terminal")

	// Without an address it is that of the daemon's configuration.
	status, output = runTop("--config", mustText(t, "listen: '"+address+"'"), "--once", "--interval", "100ms", "--output", "json")
	assert.Equal(t, 0, status, output)
	assert.Contains(t, output, `"version": "1.2.3"`)
}

func TestTopFaults(t *testing.T) {
	for want, args := range map[string][]string{
		"top: the output is not a terminal (use --once for a table, or --output json)": nil,
		"top: unknown output \"xml\" (allowed table, json)":                            {"--output", "xml"},
		"top: an interval of 1ms is too short (allowed 100ms or more)":                 {"--interval", "1ms"},
		"top: --attach observes this host (leave the addresses out)":                   {"--attach", "node:9479"},
		"top: \"ftp://node\" is not the address of an observer":                        {"ftp://node", "--once"},
		"top: read /nonexistent: ":                                                     {"--http-config", "/nonexistent", "--once"},
		"load configuration: --ports: ports[0]: must be a whole number":                {"--ports", "x", "--once"},
		"unknown flag: --listen (see redis-observer top --help)":                       {"--listen", ":1"},
	} {
		status, output := runTop(args...)
		assert.Equal(t, 1, status)
		assert.Contains(t, output, want)
	}
}

// A fault of the screen is no end by the user.
func TestTopReportsFaults(t *testing.T) {
	client, err := top.NewClient([]string{"127.0.0.1:1"}, "")
	require.NoError(t, err)
	var cmd cobra.Command
	cmd.SetIn(iotest.ErrReader(errors.New("input is broken")))
	cmd.SetOut(io.Discard)
	o := topOptions{output: "table", interval: time.Second}
	assert.ErrorContains(t, show(t.Context(), &cmd, o, client, top.NewScreen()), "input is broken")
	ended, end := context.WithCancel(t.Context())
	end()
	assert.Equal(t, context.Canceled, show(ended, &cmd, o, client, top.NewScreen()))
}

func TestAddressOfTheDaemon(t *testing.T) {
	tls := mustText(t, "tls_server_config: {cert_file: a, key_file: b}\n")
	for text, want := range map[string]string{
		"":                                     "http://localhost:9479",
		"listen: '0.0.0.0:1'":                  "http://localhost:1",
		"listen: '[::]:1'":                     "http://localhost:1",
		"listen: '10.0.0.1:1'":                 "http://10.0.0.1:1",
		"listen: '[fd00::7]:1'":                "http://[fd00::7]:1",
		"web_config: " + tls:                   "https://localhost:9479",
		"web_config: " + mustText(t, "# no\n"): "http://localhost:9479",
	} {
		address, err := addressOf(config.Loader{Path: mustText(t, text)})
		require.NoError(t, err)
		assert.Equal(t, want, address)
	}
}
