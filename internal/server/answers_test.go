package server

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// While others wait for room, readers of the oldest page that take too long are cut off, unless they
// have taken all that was written: those wait for this process.
func TestSlowReadersAreCutOff(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name         string
		moved, begun time.Duration // before now
		owes, others bool
		cut          bool
	}{
		{"stalled", stallTime, stallTime, true, true, true},
		{"for long", 0, readerTime, true, true, true},
		{"not yet", stallTime - 1, readerTime - 1, true, true, false},
		{"nobody waits", stallTime, readerTime, true, false, false},
		{"stalled here", stallTime, stallTime, false, true, false},
		{"for long, here", 0, readerTime, false, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, cut := &answers{}, false
			for range maxPages {
				a.pages = append(a.pages, &page{})
			}
			if test.others {
				a.waiting = []*reader{{}}
			}
			a.reading = []*reader{{
				request: httptest.NewRequest("GET", "/metrics", nil), page: a.pages[0],
				moved: now.Add(-test.moved), begun: now.Add(-test.begun),
				cut: func() { cut = true }, owes: func() bool { return test.owes },
			}}
			a.cutOff(now)
			assert.Equal(t, test.cut, cut)
		})
	}
}
