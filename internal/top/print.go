package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/redis-observer/redis-observer/internal/report"
)

// errSilent is the error of a round in which an observer did not answer. The output says which.
var errSilent = errors.New("not all observers answered (see above)")

// PrintOnce prints one interval as a table.
func PrintOnce(ctx context.Context, w io.Writer, scraper Scraper, interval time.Duration, screen Screen) error {
	view, err := once(ctx, scraper, interval, screen.By)
	if err != nil {
		return err
	}
	slow := scraper.Slow(ctx)
	table := screen.Table(view)
	switch screen.Shows {
	case SlowCommands:
		table = screen.Slow(slow)
	case AllAddresses:
		table = screen.Addresses(scraper.Addresses(ctx))
	}
	if _, err := fmt.Fprintf(w, "%s\n\n%s\n", screen.Head(view, slow.Groups), table); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return answered(view)
}

// detailed is a view with the details that the screen shows.
type detailed struct {
	report.View
	Slow      *Slow      `json:"slow,omitempty"`
	Addresses *Addresses `json:"addresses,omitempty"`
}

func addDetails(ctx context.Context, view report.View, scraper Scraper, screen Screen) detailed {
	d := detailed{View: view}
	switch screen.Shows {
	case SlowCommands:
		all := scraper.Slow(ctx)
		d.Slow = &all
	case AllAddresses:
		all := scraper.Addresses(ctx)
		d.Addresses = &all
	}
	return d
}

// PrintJSON prints intervals as one JSON object each, one or until ctx ends.
func PrintJSON(ctx context.Context, w io.Writer, scraper Scraper, interval time.Duration, screen Screen, single bool) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if single {
		encoder.SetIndent("", "  ")
		view, err := once(ctx, scraper, interval, screen.By)
		if err != nil {
			return err
		}
		return errors.Join(encoder.Encode(addDetails(ctx, view, scraper, screen)), answered(view))
	}
	var watch report.Watch
	round(ctx, &watch, scraper)
	for pause(ctx, interval) == nil {
		round(ctx, &watch, scraper)
		if err := encoder.Encode(addDetails(ctx, watch.View(screen.By), scraper, screen)); err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
	}
	return nil // the user ends it
}

func once(ctx context.Context, scraper Scraper, interval time.Duration, by report.By) (report.View, error) {
	var watch report.Watch
	round(ctx, &watch, scraper)
	if err := pause(ctx, interval); err != nil {
		return report.View{}, err
	}
	round(ctx, &watch, scraper)
	return watch.View(by), nil
}

func round(ctx context.Context, watch *report.Watch, scraper Scraper) {
	samples, failures := scraper.Scrape(ctx)
	watch.Update(time.Now(), samples, failures)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func answered(view report.View) error {
	for _, node := range view.Observers {
		if node.Error != "" {
			return errSilent
		}
	}
	return nil
}
