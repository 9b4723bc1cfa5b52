package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/redis-observer/redis-observer/internal/capture/packet"
)

const progressInterval = 500 * time.Millisecond

// progress shows the progress of a replay on a terminal.
type progress struct {
	done chan struct{}
	wait sync.WaitGroup
}

func showProgress(source *packet.Replay, out io.Writer) *progress {
	p := &progress{done: make(chan struct{})}
	if isTerminal(out) {
		p.wait.Go(func() { p.show(source, out) })
	}
	return p
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
