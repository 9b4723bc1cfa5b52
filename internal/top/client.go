package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/redis-observer/redis-observer/internal/report"
)

// Limits of one scrape.
const (
	scrapeTime = 10 * time.Second
	maxScrape  = 256 << 20 // bytes of text
	maxSlow    = 4 << 20   // bytes of slow commands
	maxReason  = 1 << 10   // bytes that say why there are none
)

// errOther is the error of an endpoint that is not of an observer.
var errOther = errors.New("these are not the metrics of a redis-observer")

// Client scrapes observers.
type Client struct {
	http *http.Client
	urls []string
}

// NewClient returns a Client of the observers at addresses: URLs, or host:port for HTTP. httpConfig
// names a file with an http_config of Prometheus, for TLS and authentication; "" for neither.
func NewClient(addresses []string, httpConfig string) (*Client, error) {
	settings := &config.HTTPClientConfig{FollowRedirects: true}
	if httpConfig != "" {
		var err error
		if settings, _, err = config.LoadHTTPConfigFile(httpConfig); err != nil {
			return nil, fmt.Errorf("read %s: %w (write it like http_config of Prometheus: basic_auth, authorization, tls_config)", httpConfig, err)
		}
		settings.SetDirectory(directoryOf(httpConfig))
	}
	client, err := config.NewClientFromConfig(*settings, "top")
	if err != nil {
		return nil, fmt.Errorf("use %s: %w", httpConfig, err)
	}
	c := &Client{http: client}
	for _, address := range addresses {
		target, err := urlOf(address)
		if err != nil {
			return nil, err
		}
		c.urls = append(c.urls, target)
	}
	return c, nil
}

func directoryOf(file string) string {
	if slash := strings.LastIndexByte(file, '/'); slash >= 0 {
		return file[:slash+1]
	}
	return "."
}

// urlOf completes the address of an observer.
func urlOf(address string) (string, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	target, err := url.Parse(address)
	if err != nil || target.Host == "" || strings.HasSuffix(target.Host, ":") || target.Scheme != "http" && target.Scheme != "https" {
		return "", fmt.Errorf("%q is not the address of an observer (allowed http://host:9479, https://host:9479, host:9479)", address)
	}
	if target.Path == "" || target.Path == "/" {
		target.Path = "/metrics"
	}
	return target.String(), nil
}

// nodeOf returns the name of an observer: its host and port, and the path unless that is /metrics.
func nodeOf(target string) string {
	parsed, _ := url.Parse(target) // by urlOf
	if path := parsed.EscapedPath(); path != "/metrics" {
		return parsed.Host + path
	}
	return parsed.Host
}

// Scrape returns a sample of each observer, or its error by its name.
func (c *Client) Scrape(ctx context.Context) (samples []*report.Sample, failures map[string]error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTime)
	defer cancel()
	failures = map[string]error{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, target := range c.urls {
		all.Go(func() {
			sample, err := c.scrape(ctx, target)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures[nodeOf(target)] = err
				return
			}
			samples = append(samples, sample)
		})
	}
	all.Wait()
	return samples, failures
}

// Slow returns the slow commands of each observer, the slowest first, and for each that has none
// why, by its name.
func (c *Client) Slow(ctx context.Context) Slow {
	ctx, cancel := context.WithTimeout(ctx, scrapeTime)
	defer cancel()
	all := Slow{Sentences: map[string]string{}}
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, target := range c.urls {
		group.Go(func() {
			node := nodeOf(target)
			v, err := c.slow(ctx, target)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				v = report.Slow{Reason: err.Error()}
			}
			all.Sentences[node] = v.Sentence()
			for _, command := range v.Commands {
				command.Node = node
				all.Commands = append(all.Commands, command)
			}
		})
	}
	group.Wait()
	all.sort()
	return all
}

func (c *Client) slow(ctx context.Context, target string) (v report.Slow, err error) {
	at := strings.LastIndexByte(target, '/') // of /metrics, by urlOf
	response, err := c.get(ctx, target[:at]+"/slow", "application/json")
	if err != nil {
		return v, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxSlow)).Decode(&v); err != nil {
		return v, fmt.Errorf("read slow commands: %w", plain(err))
	}
	return v, nil
}

// get returns an answer with the status 200. The caller closes its body.
func (c *Client) get(ctx context.Context, target, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, plain(err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	status := strings.ToLower(response.Status)
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%s (name a file with basic_auth or authorization by --http-config)", status)
	case http.StatusNotFound:
		why, _ := io.ReadAll(io.LimitReader(response.Body, maxReason)) // what came of it
		if why := strings.TrimSpace(string(why)); strings.HasPrefix(why, "slow commands ") {
			return nil, errors.New(why)
		}
	}
	return nil, errors.New(status)
}

func (c *Client) scrape(ctx context.Context, target string) (*report.Sample, error) {
	response, err := c.get(ctx, target, "text/plain; version=0.0.4")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "text/plain" {
		return nil, errOther
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(response.Body, maxScrape))
	if err != nil {
		return nil, plain(err)
	}
	if families["redis_observer_build_info"] == nil {
		return nil, errOther
	}
	list := make([]*dto.MetricFamily, 0, len(families))
	for _, family := range families {
		list = append(list, family)
	}
	return report.NewSample(nodeOf(target), time.Now(), list), nil
}

// plain returns an error of the HTTP client without the URL, which stands beside it.
func plain(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}
