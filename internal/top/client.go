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
	maxDetails = 4 << 20   // bytes of slow commands, or of addresses
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

// Slow returns the slow commands of each observer, and for each that has none why, by its name.
func (c *Client) Slow(ctx context.Context) Slow {
	ctx, cancel := context.WithTimeout(ctx, scrapeTime)
	defer cancel()
	all := Slow{Sentences: map[string]string{}, Groups: []report.SlowGroup{}, Commands: []report.SlowCommand{}}
	details(ctx, c, "slow", func(node string, v report.Slow, err error) {
		if err != nil {
			v = report.Slow{Reason: err.Error()}
		}
		all.add(node, v)
	})
	all.sort()
	return all
}

// Addresses returns the addresses of each observer, and for each that shows none why, by its name.
func (c *Client) Addresses(ctx context.Context) Addresses {
	ctx, cancel := context.WithTimeout(ctx, scrapeTime)
	defer cancel()
	all := Addresses{Sentences: map[string]string{}, Unnamed: []report.Unnamed{}, Named: []report.Named{}}
	details(ctx, c, "addresses", func(node string, v report.Addresses, err error) {
		if err != nil {
			v = report.Addresses{Reason: err.Error()}
		}
		all.add(node, v)
	})
	all.sort()
	return all
}

// details asks each observer for what it has at a path beside its metrics, and passes it on, one at a
// time.
func details[T any](ctx context.Context, c *Client, path string, take func(node string, v T, err error)) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, target := range c.urls {
		group.Go(func() {
			var v T
			err := c.decode(ctx, target, path, &v)
			mu.Lock()
			defer mu.Unlock()
			take(nodeOf(target), v, err)
		})
	}
	group.Wait()
}

func (c *Client) decode(ctx context.Context, target, path string, v any) error {
	at := strings.LastIndexByte(target, '/') // of /metrics, by urlOf
	response, err := c.get(ctx, target[:at+1]+path, "application/json")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxDetails)).Decode(v); err != nil {
		return fmt.Errorf("read /%s: %w", path, plain(err))
	}
	return nil
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
		if why := strings.TrimSpace(string(why)); strings.HasPrefix(why, "slow commands ") || strings.HasPrefix(why, "addresses ") {
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
