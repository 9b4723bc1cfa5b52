package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"golang.org/x/term"

	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/report"
)

const progressInterval = 500 * time.Millisecond

// progress shows the progress of a replay on a terminal.
type progress struct {
	done chan struct{}
	wait sync.WaitGroup
}

// showProgress shows the progress on stderr, or if a file is followed the table on stdout.
func (r *replay) showProgress(stdout, stderr io.Writer) *progress {
	p := &progress{done: make(chan struct{})}
	switch {
	case r.options.follow && isTerminal(stdout):
		p.wait.Go(func() { p.showTable(r.recorder.Gather, stdout, tableInterval) })
	case isTerminal(stderr):
		p.wait.Go(func() { p.show(r.source, stderr) })
	}
	return p
}

// tableInterval is how often the table of a followed file is drawn.
const tableInterval = 2 * time.Second

// showTable draws the commands so far. The rates are those of the last interval.
func (p *progress) showTable(gather func() ([]*dto.MetricFamily, error), out io.Writer, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	before := []*dto.MetricFamily{}
	for {
		select {
		case <-p.done:
			return
		case <-ticker.C:
		}
		families, err := gather()
		if err != nil {
			continue // the result reports it
		}
		var table bytes.Buffer
		_ = report.Print(&table, report.Rows(families, before, interval)) // to memory
		fmt.Fprintf(out, "\x1b[H\x1b[2J%s", table.Bytes())
		before = families
	}
}

func (p *progress) show(source *packet.Replay, out io.Writer) {
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		select {
		case <-p.done:
			fmt.Fprint(out, "\r\x1b[K")
			return
		case <-ticker.C:
		}
		packets, octets, size := source.Progress()
		share := ""
		if size > 0 {
			share = fmt.Sprintf(" (%d %%)", min(100, octets*100/size))
		}
		fmt.Fprintf(out, "\r\x1b[K%d packets, %d MiB%s", packets, octets>>20, share)
	}
}

// stop removes the progress line.
func (p *progress) stop() {
	close(p.done)
	p.wait.Wait()
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	return term.IsTerminal(int(file.Fd()))
}
