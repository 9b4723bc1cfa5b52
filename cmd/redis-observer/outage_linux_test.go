package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/kube"
	"github.com/redis-observer/redis-observer/internal/kube/kubetest"
)

// An outage is logged once, and once more when the API server is back but refuses: only the second line says what to do.
func TestOutageThatBecomesARefusal(t *testing.T) {
	api := kubetest.Serve(t)
	client, err := kube.NewClient(api.URL, api.Authority(), filepath.Join(api.Account(t), "token"))
	require.NoError(t, err)
	api.Refuse(http.StatusForbidden)
	refusal := client.ListPods(context.Background(), "node-1", kube.NewPods())
	require.True(t, kube.Refused(refusal))
	require.False(t, kube.Refused(io.ErrUnexpectedEOF))

	var log bytes.Buffer
	counted := 0
	o := outage{logger: slog.New(slog.NewTextHandler(&log, nil)), began: "began", ended: "ended", count: func() { counted++ }}
	for _, err := range []error{nil, io.ErrUnexpectedEOF, io.EOF, refusal, io.EOF, refusal, nil, nil, refusal} {
		o.note(err)
	}
	assert.Equal(t, 3, strings.Count(log.String(), "msg=began"), "%s", &log)
	assert.Equal(t, 2, strings.Count(log.String(), "403 Forbidden"), "%s", &log)
	assert.Equal(t, 1, strings.Count(log.String(), "msg=ended"))
	assert.Equal(t, 6, counted)
}
