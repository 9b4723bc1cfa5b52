package socket

import (
	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/capture/attach"
	"github.com/redis-observer/redis-observer/internal/event"
)

// tls is the part of a Live that reads TLS connections.
type tls struct {
	on       bool
	attacher *attach.Attacher // nil if TLS connections are not read
	limit    error            // why they are not
}

// prepare starts the process that attaches to TLS libraries, while the privileges for that are
// there. A failure matters only if there is a TLS connection, so it is kept until then.
func (t *tls) prepare(probes *bpf.Probes, options Options) {
	if t.on = options.TLS; !t.on {
		return
	}
	if t.limit = probes.TLSLimit(); t.limit == nil {
		t.attacher, t.limit = attach.Start(probes, options.Logger)
	}
}

// ReadTLS begins to read TLS connections. Call it when there is one, once: other connections cost
// more from then on. If they cannot be read, it logs why.
func (l *Live) ReadTLS() {
	if !l.tls.on {
		return
	}
	err := l.tls.limit
	if err == nil {
		err = l.probes.WatchTLS()
	}
	if err != nil {
		l.log.Warn("there are TLS connections, which are counted but not read", "cause", err, "remedy", "see `redis-observer check`; capture.tls: off hides this")
		return
	}
	l.log.Info("reading TLS connections")
}

func (t *tls) stats() *event.TLSStats {
	if t.attacher == nil {
		return nil
	}
	s := t.attacher.Stats()
	found := &event.TLSStats{Searching: s.Running, PassedOver: s.PassedOver, Libraries: map[string]int{}, Looks: map[event.TLSLook]uint64{}}
	for kind, n := range s.Libraries {
		found.Libraries[kind.String()] = n
	}
	for o, n := range s.Looks {
		found.Looks[event.TLSLook{Library: o.Library.String(), Result: o.Result.String()}] = n
	}
	return found
}

func (t *tls) close() error {
	if t.attacher == nil {
		return nil
	}
	return t.attacher.Close()
}
