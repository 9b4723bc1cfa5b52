package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	firstPause   = time.Second      // before a watch that failed is repeated; doubled each time
	longestPause = 30 * time.Second // the most
	watchTime    = 4 * time.Minute  // after which the API server is to end a watch
	maxObjects   = 1024             // of one watch
)

// metadata is the part that all objects have.
type metadata struct {
	Name            string `json:"name"`
	ResourceVersion string `json:"resourceVersion"`
}

// object is a JSON object of the API.
type object interface {
	key() string // unique among those of a watch
	version() string
}

// watch follows the objects that a selector selects.
type watch[T object] struct {
	client   *Client
	path     string
	selector url.Values
	changed  func(map[string]T) // gets all objects, by key; must not keep the map
	failed   func(error)        // nil for a success after a failure
}

// run follows the objects until ctx ends.
func (w *watch[T]) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		listed, err := w.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if listed {
			pause = firstPause
		}
		if err != nil {
			w.failed(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, longestPause)
	}
}

// follow lists the objects, and watches them until the watch fails. It reports whether it could
// list them.
func (w *watch[T]) follow(ctx context.Context) (listed bool, err error) {
	objects, version, err := w.list(ctx)
	if err != nil {
		return false, err
	}
	w.failed(nil)
	w.changed(objects)
	for {
		if version, err = w.events(ctx, version, objects); err != nil {
			return true, err
		}
	}
}

func (w *watch[T]) list(ctx context.Context) (map[string]T, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*answerTime)
	defer cancel()
	query := maps.Clone(w.selector)
	// From the memory of the API server, not from its storage: it may be a little behind, which the watch makes good.
	query.Set("resourceVersion", "0")
	body, err := w.client.get(ctx, w.path, query)
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	objects, version, err := readList[T](body)
	if err != nil {
		return nil, "", fmt.Errorf("read the list of %s: %w", w.path, err)
	}
	return objects, version, nil
}

// readList reads a list, one object at a time. It returns the objects by key, and the version.
func readList[T object](body io.Reader) (objects map[string]T, version string, err error) {
	objects = map[string]T{}
	limited := &io.LimitedReader{R: body, N: maxMessage}
	decoder := json.NewDecoder(limited)
	err = each(decoder, '{', func() error {
		limited.N = maxMessage
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		switch name {
		case "metadata":
			var about metadata
			err = decoder.Decode(&about)
			version = about.ResourceVersion
			return err
		case "items":
			return each(decoder, '[', func() error {
				limited.N = maxMessage
				var o T
				if err := decoder.Decode(&o); err != nil {
					return err
				}
				if len(objects) < maxObjects {
					objects[o.key()] = o
				}
				return nil
			})
		default:
			var skipped json.RawMessage
			return decoder.Decode(&skipped)
		}
	})
	return objects, version, err
}

// each calls read before each element of a JSON object or array. Null has none.
func each(decoder *json.Decoder, begin json.Delim, read func() error) error {
	first, err := decoder.Token()
	if err != nil || first == nil {
		return err
	}
	if first != begin {
		return fmt.Errorf("%v instead of %v", first, begin)
	}
	for decoder.More() {
		if err := read(); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

// errExpired ends a watch whose version the API server no longer has.
var errExpired = errors.New("the version of the watch has expired")

// begin begins a watch that the API server is to end after some time. The caller must close the body.
func (w *watch[T]) begin(ctx context.Context, version string, lasting time.Duration) (io.ReadCloser, error) {
	query := maps.Clone(w.selector)
	query.Set("watch", "1")
	query.Set("allowWatchBookmarks", "true")
	query.Set("resourceVersion", version)
	query.Set("timeoutSeconds", strconv.Itoa(int(lasting/time.Second)))
	body, err := w.client.get(ctx, w.path, query)
	var status *statusError
	if errors.As(err, &status) && status.status == http.StatusGone {
		return nil, errExpired
	}
	return body, err
}

// events applies the events of one watch to the objects, until the API server ends it. It returns
// the version to go on from.
func (w *watch[T]) events(ctx context.Context, version string, objects map[string]T) (string, error) {
	// A server that has gone without a word does not end the watch.
	ctx, cancel := context.WithTimeout(ctx, watchTime+answerTime)
	defer cancel()
	body, err := w.begin(ctx, version, watchTime)
	if err != nil {
		return "", err
	}
	defer body.Close()
	limited := &io.LimitedReader{R: body}
	decoder := json.NewDecoder(limited)
	began := time.Now()
	for {
		limited.N = maxMessage
		var e struct {
			Type   string `json:"type"`
			Object T      `json:"object"`
		}
		switch err := decoder.Decode(&e); {
		case errors.Is(err, io.EOF) && time.Since(began) > time.Second:
			return version, nil
		case err != nil:
			return "", fmt.Errorf("watch %s: %w", w.path, err)
		}
		key := e.Object.key()
		switch e.Type {
		case "ADDED", "MODIFIED":
			if _, known := objects[key]; known || len(objects) < maxObjects {
				objects[key] = e.Object
			}
			w.changed(objects)
		case "DELETED":
			delete(objects, key)
			w.changed(objects)
		case "BOOKMARK":
		default:
			return "", errExpired
		}
		version = e.Object.version()
	}
}
