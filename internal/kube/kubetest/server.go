// Package kubetest has an API server of Kubernetes for tests, as far as package kube uses one.
package kubetest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The kinds of objects.
const (
	Services       = "services"
	EndpointSlices = "endpointslices"
	Pods           = "pods"
)

// Server answers each list with the objects that were set, and each watch with the events that are
// sent.
type Server struct {
	*httptest.Server
	mu       sync.Mutex
	status   int // of all answers
	requests []string
	lists    map[string]string
	events   map[string]chan string
}

// Serve starts a server until the test ends.
func Serve(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{
		status: http.StatusOK,
		lists:  map[string]string{},
		events: map[string]chan string{},
	}
	for _, kind := range []string{Services, EndpointSlices, Pods} {
		s.lists[kind], s.events[kind] = "[]", make(chan string, 8)
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.answer))
	s.EnableHTTP2 = true
	s.StartTLS()
	tb.Cleanup(func() {
		s.CloseClientConnections() // ends the watches
		s.Close()
	})
	return s
}

// Set sets the list of a kind, in JSON.
func (s *Server) Set(kind, list string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists[kind] = list
}

// Refuse sets the status of all further answers; 200 for none.
func (s *Server) Refuse(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// Send sends an event to the watch of a kind.
func (s *Server) Send(kind, event string) { s.events[kind] <- event }

// Requests returns what was asked so far: the path, the query, and the authorization.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.requests...)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	kind := filepath.Base(r.URL.Path)
	s.mu.Lock()
	status, list := s.status, s.lists[kind]
	s.requests = append(s.requests, r.URL.Path+"?"+r.URL.RawQuery+" "+r.Header.Get("Authorization"))
	s.mu.Unlock()
	if status != http.StatusOK {
		w.WriteHeader(status)
		return
	}
	if r.URL.Query().Get("watch") == "" {
		fmt.Fprintf(w, `{"metadata": {"resourceVersion": "7"}, "items": %s}`, list)
		return
	}
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case event := <-s.events[kind]:
			fmt.Fprintln(w, event)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// Authority is the certificate of the server, in PEM.
func (s *Server) Authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// Account returns a folder with the files of a service account, whose token is "secret".
func (s *Server) Account(tb testing.TB) string {
	tb.Helper()
	folder := tb.TempDir()
	require.NoError(tb, os.WriteFile(filepath.Join(folder, "token"), []byte("secret\n"), 0o644))
	require.NoError(tb, os.WriteFile(filepath.Join(folder, "ca.crt"), s.Authority(), 0o644))
	return folder
}

// EndpointSlice returns one of a port named "redis" and some pods.
func EndpointSlice(name string, port int, pods ...string) string {
	text, _ := json.Marshal(pods) // strings
	return fmt.Sprintf(`{"metadata": {"name": %q, "resourceVersion": "9"}, "endpoints": [{"addresses": %s}],
		"ports": [{"name": "other", "port": 1}, {"name": "redis", "port": %d, "protocol": "TCP"}]}`, name, text, port)
}

// Pod returns a pod of the namespace "shop", with one container of each name, whose IDs are known or, where
// empty, not known yet. The owner is a kind and a name, or empty.
func Pod(node, uid, name, owner string, containers ...[2]string) string {
	object := map[string]any{
		"metadata": map[string]any{
			"namespace": "shop", "name": name, "uid": uid, "resourceVersion": "9",
			"labels": map[string]string{"app": "web", "pod-template-hash": "5d8f7c9b4"},
		},
	}
	if kind, name, found := strings.Cut(owner, "/"); found {
		object["metadata"].(map[string]any)["ownerReferences"] = []map[string]any{
			{"kind": "Policy", "name": "other"}, {"kind": kind, "name": name, "controller": true},
		}
	}
	var spec, status []map[string]any
	for _, c := range containers {
		spec = append(spec, map[string]any{"name": c[0], "image": "docker.io/library/redis:7"})
		if c[1] != "" {
			status = append(status, map[string]any{"name": c[0], "containerID": "containerd://" + c[1]})
		}
	}
	object["spec"] = map[string]any{"nodeName": node, "containers": spec}
	object["status"] = map[string]any{"phase": "Running", "containerStatuses": status}
	text, _ := json.Marshal(object) // strings
	return string(text)
}
