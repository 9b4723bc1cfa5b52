package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"
)

const (
	// accountFolder is where Kubernetes mounts the service account of a pod.
	accountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"
	// answerTime is how long the API server may take to begin an answer.
	answerTime = 10 * time.Second
	// pingAfter and pingTime bound how long a server that has stopped without a word keeps its watches: it is asked
	// for a sign of life when it was silent for the one, and has the other to give it.
	pingAfter = 20 * time.Second
	pingTime  = 10 * time.Second
	// maxMessage limits a list, and an event of a watch, in bytes.
	maxMessage = 8 << 20
)

// Client asks an API server.
type Client struct {
	base  string
	token string // file, which Kubernetes replaces from time to time
	http  http.Client
}

// InCluster returns the Client of a pod that has a service account.
func InCluster() (*Client, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("find the API server: KUBERNETES_SERVICE_HOST or KUBERNETES_SERVICE_PORT is not set (service:// addresses and labels of pods work only in a pod)")
	}
	authority, err := os.ReadFile(accountFolder + "/ca.crt")
	if err != nil {
		return nil, fmt.Errorf("read the certificate of the API server: %w (set automountServiceAccountToken: true)", err)
	}
	return NewClient("https://"+net.JoinHostPort(host, port), authority, accountFolder+"/token")
}

// NewClient returns a Client of the API server at a URL, whose certificate is signed by authority
// (PEM), with the token in a file.
func NewClient(base string, authority []byte, token string) (*Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, errors.New("read the certificate of the API server: no certificate in PEM form")
	}
	return &Client{base: base, token: token, http: http.Client{
		Transport: &http.Transport{
			TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   answerTime,
			ResponseHeaderTimeout: answerTime,
			DialContext:           (&net.Dialer{Timeout: answerTime}).DialContext,
			ForceAttemptHTTP2:     true, // watches share connections
			HTTP2:                 &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime},
		},
		// The token is for this server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// CheckToken returns nil if the token can be read.
func (c *Client) CheckToken() error {
	_, err := os.ReadFile(c.token)
	return err
}

// get returns the body of an answer. The caller must close it.
func (c *Client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	token, err := os.ReadFile(c.token)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	request.Header.Set("Accept", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, &statusError{response.StatusCode, path}
	}
	return response.Body, nil
}

// statusError is an answer other than 200.
type statusError struct {
	status int
	path   string
}

// Refused reports whether the API server answered that it does not allow what was asked for, which time does not mend.
func Refused(err error) bool {
	var status *statusError
	return errors.As(err, &status) && (status.status == http.StatusForbidden || status.status == http.StatusUnauthorized)
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("get %s: %d %s", e.path, e.status, http.StatusText(e.status))
	switch e.status {
	case http.StatusForbidden:
		text += " (allow list and watch of " + path.Base(e.path) + " to the service account)"
	case http.StatusUnauthorized:
		text += " (check the token of the service account)"
	}
	return text
}
