package server

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
)

// pieceSize is the size of a piece of a page, in bytes. A page in one slice that doubles needs
// three times its length.
const pieceSize = 64 << 10

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// page is a response that is made once for several readers. It is an http.ResponseWriter while it
// is made, and read-only afterwards.
type page struct {
	header  http.Header
	status  int
	size    int
	body    []*[pieceSize]byte
	readers int // guarded by the mutex of answers
}

// Header implements http.ResponseWriter.
func (p *page) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter.
func (p *page) WriteHeader(status int) {
	if p.status == 0 {
		p.status = status
	}
}

// Write implements http.ResponseWriter. It does not fail.
func (p *page) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	for rest := b; len(rest) > 0; {
		at := p.size % pieceSize
		if at == 0 {
			p.body = append(p.body, pieces.Get().(*[pieceSize]byte))
		}
		n := copy(p.body[len(p.body)-1][at:], rest)
		p.size += n
		rest = rest[n:]
	}
	return len(b), nil
}

// send writes the page. It returns when the kernel has all of it, or after a write error. It calls
// moved after each piece.
func (p *page) send(w http.ResponseWriter, moved func()) {
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Length", strconv.Itoa(p.size))
	w.WriteHeader(max(p.status, http.StatusOK))
	rest := p.size
	for _, piece := range p.body {
		n := min(rest, pieceSize)
		if _, err := w.Write(piece[:n]); err != nil {
			return
		}
		rest -= n
		moved()
	}
	_ = http.NewResponseController(w).Flush() // the reader has gone
}

// free returns the memory of the page to the pool. Nothing may read the page afterwards.
func (p *page) free() {
	for _, piece := range p.body {
		pieces.Put(piece)
	}
	p.body = nil
}
