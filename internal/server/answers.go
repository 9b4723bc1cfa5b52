package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Limits of responses.
const (
	maxPages     = 4                      // in memory, being made or being read
	waitTime     = 10 * time.Second       // wait for a page; the default scrape timeout of Prometheus
	readerTime   = 5 * time.Second        // reading time after which a reader may be disconnected if others wait
	stallTime    = 2 * time.Second        // the same, for one piece of a page
	crowdedStall = 250 * time.Millisecond // the same, for a peer with several readers or recent evictions
	lookInterval = 50 * time.Millisecond  // interval of the search for readers to disconnect
)

var errWaitTime = errors.New("too many slow readers")

// answers limits the pages in memory. Waiting requests share the next page, which is made after all
// of them arrived. If there is no room for another page, slow readers are disconnected; so any
// number of slow readers holds a few pages, and delays others briefly.
type answers struct {
	next http.Handler

	mu      sync.Mutex
	making  bool // one page at a time, because making one is the main cost
	pages   []*page
	waiting []*reader
	reading []*reader // including readers of a page that is being made
}

// reader is one request for a page.
type reader struct {
	request *http.Request
	variant variant
	peer    netip.Prefix
	given   chan *page  // receives the page
	cut     func()      // disconnects the reader; valid while it is in reading
	owes    func() bool // whether the reader has not taken all that was written; valid like cut

	// Guarded by the mutex of answers.
	page  *page     // nil until made
	begun time.Time // start of writing
	moved time.Time // time of the last piece
}

// bounded returns a handler that limits the pages of next.
func bounded(next http.Handler) http.Handler {
	return &answers{next: next}
}

// ServeHTTP implements http.Handler.
func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	one := &reader{
		request: r,
		variant: variantOf(r),
		peer:    peerOf(r.RemoteAddr),
		given:   make(chan *page, 1),
	}
	one.cut, one.owes = cutter(w, r)
	made, err := a.await(r.Context(), one)
	if err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer a.release(one)
	made.send(w, func() {
		a.move(one)
		progress(r, 0)
	})
}

// cutter returns a function that ends the writing of a response, and one that reports whether the
// peer has not taken all that was written. It closes an HTTP/1 connection: a deadline alone leaves
// 5 s for the TLS close notification. Streams of HTTP/2 have windows of their own, which nothing
// reports.
func cutter(w http.ResponseWriter, r *http.Request) (cut func(), owes func() bool) {
	if g := connOf(r); g != nil && r.ProtoMajor == 1 {
		return g.cutOff, g.unread
	}
	return func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) }, // best effort: the write timeout ends it otherwise
		func() bool { return true }
}

// await waits for the page of a reader. The caller must release the reader.
func (a *answers) await(ctx context.Context, one *reader) (*page, error) {
	a.mu.Lock()
	a.waiting = append(a.waiting, one)
	a.start()
	a.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, waitTime, errWaitTime)
	defer cancel()
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	for {
		select {
		case made := <-one.given:
			return made, nil
		case <-ctx.Done():
			if a.leave(one) {
				return nil, context.Cause(ctx)
			}
			return <-one.given, nil
		case <-look.C:
			a.cutOff(time.Now())
		}
	}
}

// leave removes a waiting reader. It returns false if the reader was not waiting any more.
func (a *answers) leave(one *reader) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := len(a.waiting)
	a.waiting = without(a.waiting, one)
	return len(a.waiting) < before
}

// start makes the next page if there is room, for the first waiting reader and all others with the
// same variant. Readers of the unfiltered page come first, because that page serves many; then
// peers with the fewest readers and recent evictions.
func (a *answers) start() {
	if a.making || len(a.pages) >= maxPages || len(a.waiting) == 0 {
		return
	}
	count := byPeer(a.reading)
	first := slices.MinFunc(a.waiting, func(x, y *reader) int {
		return cmp.Or(
			cmp.Compare(min(len(x.variant.filter), 1), min(len(y.variant.filter), 1)),
			cmp.Compare(count[x.peer]+evictionsOf(x.request), count[y.peer]+evictionsOf(y.request)))
	})
	var batch []*reader
	a.waiting = slices.DeleteFunc(a.waiting, func(w *reader) bool {
		if w.variant == first.variant {
			batch = append(batch, w)
		}
		return w.variant == first.variant
	})
	p := &page{header: http.Header{}, readers: len(batch)}
	a.making = true
	a.pages = append(a.pages, p)
	a.reading = append(a.reading, batch...)
	go a.make(p, first.variant.request(first.request), batch)
}

// make makes a page and hands it to its readers.
func (a *answers) make(p *page, r *http.Request, batch []*reader) {
	a.next.ServeHTTP(p, r)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.making = false
	now := time.Now()
	for _, one := range batch {
		one.page, one.begun, one.moved = p, now, now
		one.given <- p
	}
	a.start()
}

// move records that a reader took a piece.
func (a *answers) move(one *reader) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one.moved = time.Now()
}

// release removes a reader, and frees its page after the last one.
func (a *answers) release(one *reader) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reading = without(a.reading, one)
	if one.page.readers--; one.page.readers > 0 {
		return
	}
	one.page.free()
	a.pages = slices.DeleteFunc(a.pages, func(p *page) bool { return p == one.page })
	a.start()
}

// cutOff disconnects the slow readers of the oldest page if others wait for room. A reader that has
// taken all that was written is not slow: on a busy machine, its response waits for this process.
func (a *answers) cutOff(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) == 0 || len(a.pages) < maxPages {
		return
	}
	count := byPeer(a.reading)
	for _, one := range a.reading {
		stall := stallTime
		if count[one.peer] > 1 || evictionsOf(one.request) > 0 {
			stall = crowdedStall
		}
		late := now.Sub(one.moved) >= stall || now.Sub(one.begun) >= readerTime
		if one.page == a.pages[0] && late && one.owes() {
			one.cut()
		}
	}
}

func byPeer(list []*reader) map[netip.Prefix]int {
	count := map[netip.Prefix]int{}
	for _, one := range list {
		count[one.peer]++
	}
	return count
}

func without(list []*reader, one *reader) []*reader {
	return slices.DeleteFunc(list, func(r *reader) bool { return r == one })
}
