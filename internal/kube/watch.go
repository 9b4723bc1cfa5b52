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
type object interface{ named() metadata }

// watch follows the objects that a selector selects.
type watch[T object] struct {
	client   *Client
	path     string
	selector url.Values
	changed  func(map[string]T) // gets all objects, by name; must not keep the map
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
	body, err := w.client.get(ctx, w.path, w.selector)
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	var list struct {
		Metadata metadata `json:"metadata"`
		Items    []T      `json:"items"`
	}
	if err := json.NewDecoder(io.LimitReader(body, maxMessage)).Decode(&list); err != nil {
		return nil, "", fmt.Errorf("read the list of %s: %w", w.path, err)
	}
	objects := map[string]T{}
	for _, o := range list.Items {
		if len(objects) < maxObjects {
			objects[o.named().Name] = o
		}
	}
	return objects, list.Metadata.ResourceVersion, nil
}

// errExpired ends a watch whose version the API server no longer has.
var errExpired = errors.New("the version of the watch has expired")

// events applies the events of one watch to the objects, until the API server ends it. It returns
// the version to go on from.
func (w *watch[T]) events(ctx context.Context, version string, objects map[string]T) (string, error) {
	// A server that has gone without a word does not end the watch.
	ctx, cancel := context.WithTimeout(ctx, watchTime+answerTime)
	defer cancel()
	query := maps.Clone(w.selector)
	query.Set("watch", "1")
	query.Set("allowWatchBookmarks", "true")
	query.Set("resourceVersion", version)
	query.Set("timeoutSeconds", strconv.Itoa(int(watchTime/time.Second)))
	body, err := w.client.get(ctx, w.path, query)
	var status *statusError
	if errors.As(err, &status) && status.status == http.StatusGone {
		return "", errExpired
	}
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
		about := e.Object.named()
		switch e.Type {
		case "ADDED", "MODIFIED":
			if _, known := objects[about.Name]; known || len(objects) < maxObjects {
				objects[about.Name] = e.Object
			}
			w.changed(objects)
		case "DELETED":
			delete(objects, about.Name)
			w.changed(objects)
		case "BOOKMARK":
		default:
			return "", errExpired
		}
		version = about.ResourceVersion
	}
}
