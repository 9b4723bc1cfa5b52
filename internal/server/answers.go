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

// What answers may take.
const (
	maxPages     = 4                      // held at once, being made or being read
	waitTime     = 10 * time.Second       // for one's page; the default timeout of a scrape
	readerTime   = 5 * time.Second        // what a reader gets before it may be cut off for others that wait
	stallTime    = 2 * time.Second        // the same for one piece of a page
	crowdedStall = 250 * time.Millisecond // the same where its peer has several readers, or lost places of late
	lookInterval = 50 * time.Millisecond  // how often those who wait look for readers to cut off
)

var errWaitTime = errors.New("too many slow readers")

// answers bounds how many pages are held. Requests that wait share the next one, which is no older than any of them. Where there is no room
// for another, readers who take their time are cut off: so slow ones, however many, hold a few pages, and delay others for a moment.
type answers struct {
	next http.Handler

	mu      sync.Mutex
	making  bool // one page at a time: that is what costs most
	pages   []*page
	waiting []*reader
	reading []*reader // those of a page that is being made too
}

// reader is one request for a page.
type reader struct {
	request *http.Request
	variant variant
	peer    netip.Prefix
	given   chan *page // gets one value, once it does not wait any more
	cut     func()     // ends writing; safe to call as long as the reader is reading

	// Guarded by the mutex of answers.
	page  *page     // nil before it is made
	begun time.Time // when writing began
	moved time.Time // when a piece was last taken
}

// bounded returns a handler that answers as the next one does, with bounds.
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
		cut:     cutter(w, r),
	}
	made, err := a.await(r.Context(), one)
	if err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer a.release(one)
	made.send(w, func() { a.move(one) })
}

// cutter returns what ends the writing of a response. A connection of HTTP/1 is closed: a deadline alone would, with TLS, leave 5 s for a farewell.
func cutter(w http.ResponseWriter, r *http.Request) func() {
	if g := guestOf(r); g != nil && r.ProtoMajor == 1 {
		return g.cutOff
	}
	return func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) } // without deadlines it ends by itself
}

// await waits for the page of a reader, which has to be released.
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

// leave says whether the reader still waited, and does not any more.
func (a *answers) leave(one *reader) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := len(a.waiting)
	a.waiting = without(a.waiting, one)
	return len(a.waiting) < before
}

// start has the next page made if there is room for it, for the first that waits, and all others that want the same. First is who wants all,
// because that page serves many; among these the peer with the fewest readers and lost places.
func (a *answers) start() {
	if a.making || len(a.pages) >= maxPages || len(a.waiting) == 0 {
		return
	}
	count := byPeer(a.reading)
	first := slices.MinFunc(a.waiting, func(x, y *reader) int {
		return cmp.Or(
			cmp.Compare(min(len(x.variant.filter), 1), min(len(y.variant.filter), 1)),
			cmp.Compare(count[x.peer]+lostBy(x.request), count[y.peer]+lostBy(y.request)))
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

// make has the page made, and gives it to its readers.
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

// move says that the reader took a piece.
func (a *answers) move(one *reader) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one.moved = time.Now()
}

// release takes leave of a reader, and of its page if it is the last one.
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

// cutOff ends the writing to those readers of the oldest page that had their time, if others wait for room.
func (a *answers) cutOff(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) == 0 || len(a.pages) < maxPages {
		return
	}
	count := byPeer(a.reading)
	for _, one := range a.reading {
		stall := stallTime
		if count[one.peer] > 1 || lostBy(one.request) > 0 {
			stall = crowdedStall
		}
		if one.page == a.pages[0] && (now.Sub(one.moved) >= stall || now.Sub(one.begun) >= readerTime) {
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
