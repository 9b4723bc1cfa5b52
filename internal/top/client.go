package top

import (
	"context"
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

func (c *Client) scrape(ctx context.Context, target string) (*report.Sample, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/plain; version=0.0.4")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, plain(err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%s (name a file with basic_auth or authorization by --http-config)", strings.ToLower(response.Status))
	default:
		return nil, errors.New(strings.ToLower(response.Status))
	}
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
