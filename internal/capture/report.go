package capture

import (
	"os"

	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/capture/socket"
	"github.com/redis-observer/redis-observer/internal/host"
)

// Report is the result of Probe.
type Report struct {
	Kernel       string          `json:"kernel"`
	Architecture string          `json:"architecture"`
	BTF          string          `json:"btf"`         // "yes", or the missing feature
	RingBuffer   string          `json:"ring_buffer"` // the same
	Capabilities []string        `json:"capabilities"`
	Lockdown     string          `json:"lockdown"` // none, integrity, confidentiality or unknown
	TLS          string          `json:"tls"`      // "yes": TLS connections can be read; otherwise what is missing, and the remedy
	Backends     []BackendReport `json:"backends"` // in the order in which Auto tries them
	Auto         string          `json:"auto"`     // the one that Auto would use; "" if none works
	// UnixListeners are the Unix sockets that listen for streams on this host, by their names.
	UnixListeners []string `json:"unix_listeners,omitempty"`
}

// BackendReport says whether a backend works on this machine.
type BackendReport struct {
	Name   string `json:"name"`
	Usable bool   `json:"usable"`
	Reason string `json:"reason,omitempty"`          // why it does not work, and the remedy
	NoUnix string `json:"no_unix_sockets,omitempty"` // of a usable one: why it cannot observe Unix sockets, and the remedy
	Unseen string `json:"unseen,omitempty"`          // of a usable one: what it does not see of connections that fail or end
}

// Probe tries each backend for a moment, without observed ports.
func Probe() Report {
	facts := socket.Host()
	report := Report{
		Kernel:       facts.Kernel,
		Architecture: facts.Architecture,
		BTF:          yes(facts.BTF),
		RingBuffer:   yes(facts.RingBuffer),
		Capabilities: facts.Capabilities,
		Lockdown:     facts.Lockdown,

		TLS: yes(errPackets),

		UnixListeners: UnixListeners(),
	}
	for _, b := range backends() {
		found := BackendReport{Name: b.name, Usable: true}
		limits, err := b.try()
		switch {
		case err != nil:
			found.Usable, found.Reason = false, err.Error()
		case limits.Unix != nil:
			found.NoUnix = limits.Unix.Error()
		}
		if found.Usable && b.name == packet.Backend {
			found.Unseen = packet.Unseen
		}
		if found.Usable && report.Auto == "" {
			report.Auto, report.TLS = b.name, yes(limits.TLS)
		}
		report.Backends = append(report.Backends, found)
	}
	return report
}

// UnixListeners returns the names of the Unix sockets that listen for streams on this host, as their
// servers bound them.
func UnixListeners() []string { return host.UnixListeners(os.DirFS("/")) }

func yes(missing error) string {
	if missing != nil {
		return missing.Error()
	}
	return "yes"
}
