package correlate

import (
	"bytes"
	"math"
	"time"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// A command that is to get no reply (CLIENT REPLY OFF or SKIP, REPLCONF ACK, a second MONITOR) gets one all the same if the server refuses it: an error.
// So it stays in the FIFO, and with it what is behind, until that is known: by an error that can only be a refusal, by any
// other reply, which then is that of a later command, or because a refusal would have come by now.

// doubtFor is how long after the request, or after the reply before it, a refusal may come.
const doubtFor = int64(time.Second)

// doubt reports whether it is not known yet if the oldest command, which is to get no reply, is refused.
func (c *conn) doubt(p *pending) bool {
	until := max(p.time, c.replying) + doubtFor
	c.doubting = c.mode == paired && c.tracker.now < until
	if c.doubting {
		c.tracker.wait(c, until)
	}
	return c.doubting
}

// believe ends the doubt: the oldest command was obeyed, and so were those behind it up to the first one that is answered.
func (c *conn) believe() {
	c.believing = true
	c.settleSilent()
	c.believing = false
}

// outlast goes on where a refusal would have come by now. It returns when that is so of the command that is in doubt; never if none is.
func (c *conn) outlast() int64 {
	if c.doubting {
		c.settleSilent()
	}
	if !c.doubting {
		return math.MaxInt64
	}
	return max(c.pending.at(0).time, c.replying) + doubtFor
}

// answersMore reports whether a frame with this first byte tells that what is in doubt was obeyed, whatever else is in it.
func (c *conn) answersMore(kind byte) bool {
	switch kind {
	case '-', '!', '>', '|':
		return false
	case '+':
		return !c.monitors
	case '*':
		return !c.sub.any()
	default:
		return true
	}
}

// verdict is what an error says of a command that is in doubt.
type verdict uint8

const (
	refused   verdict = iota
	obeyed            // it answers a later command
	undecided         // it may answer a request that has not been read yet
)

// judge says what an error that came at a time says of the oldest command.
func (c *conn) judge(r *parser.Reply) verdict {
	head := c.pending.at(0)
	switch {
	case isProtocolError(r):
		return obeyed
	case head.verb == replyOff:
		return refused // silence does not err
	case c.refuses(head, r):
		return refused
	case neverRefuses[command.LookupPrefix(r.Text)]:
		return obeyed
	}
	switch answered, later := c.answeredAhead(); {
	case answered == 0 && !later:
		return undecided
	case answered == 0:
		return refused
	case answered < looksAhead && bytes.HasPrefix(r.Text, []byte("BUSY ")) && c.framesBehind(answered) == answered:
		return refused // all are told so, and one more than would be
	default:
		return obeyed
	}
}

// refuses reports whether an error says itself that it is about a command that was to get no reply.
func (c *conn) refuses(p *pending, r *parser.Reply) bool {
	switch {
	case bytes.HasPrefix(r.Text, []byte("NOAUTH ")):
		return true
	case p.verb == replySkip:
		return names(r.Text, "client'") || names(r.Text, "client`") || names(r.Text, "client|reply") || names(r.Text, "reply'")
	case p.verb == monitor:
		return names(r.Text, "monitor")
	default:
		return names(r.Text, "replconf")
	}
}

// names reports whether a text has a quoted word, in lower or upper case.
func names(text []byte, word string) bool {
	for i := 0; i+1+len(word) <= len(text); i++ {
		if (text[i] == '\'' || text[i] == '`') && bytes.EqualFold(text[i+1:i+1+len(word)], []byte(word)) {
			return true
		}
	}
	return false
}

// neverRefuses are the errors by which no server refuses what was to get no reply: they are about keys.
var neverRefuses = func() map[command.Prefix]bool {
	set := make(map[command.Prefix]bool)
	for _, prefix := range []string{"WRONGTYPE", "MOVED", "ASK", "CROSSSLOT", "NOSCRIPT", "EXECABORT", "OOM", "READONLY", "BUSYGROUP", "NOGROUP", "BUSYKEY", "TRYAGAIN"} {
		set[command.LookupPrefix([]byte(prefix+" "))] = true
	}
	delete(set, command.OtherPrefix)
	return set
}()

// looksAhead is how many commands and frames are looked at.
const looksAhead = 64

// answeredAhead returns how many commands are answered if the oldest one is obeyed, of those that were sent before the current frame:
// looksAhead if that is not known. Was one sent later, then all that were sent earlier have been read.
func (c *conn) answeredAhead() (answered int, later bool) {
	quiet, looks := answering, 0
	if c.sub.any() || c.monitors {
		return looksAhead, false
	}
	for i := range c.pending.runs {
		p := c.pending.at(i)
		if p.time > c.replying {
			return answered, true
		}
		if p.verb.subscribes() || p.verb >= monitor && p.verb <= syncSlots || p.verb == multi {
			return looksAhead, false // it brings nobody knows how many frames, or defers what is behind it
		}
		for range p.count() {
			if looks++; looks > looksAhead {
				return looksAhead, false
			}
			if !p.verb.silentIn(quiet, p.flags) {
				answered++
			}
			quiet = quiet.behind(p.verb)
		}
	}
	return answered, false
}

// framesBehind counts the replies, up to most, that came with the current frame and stand behind it.
func (c *conn) framesBehind(most int) (n int) {
	s := c.replies
	var r parser.Reply
	for n < most && s.Next(&r) == nil {
		if r.Type != '>' {
			n++
		}
	}
	return n
}
