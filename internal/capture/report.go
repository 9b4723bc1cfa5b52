package capture

import "github.com/redis-observer/redis-observer/internal/capture/socket"

// Report is the result of Probe.
type Report struct {
	Kernel       string          `json:"kernel"`
	Architecture string          `json:"architecture"`
	BTF          string          `json:"btf"`         // "yes", or the missing feature
	RingBuffer   string          `json:"ring_buffer"` // the same
	Capabilities []string        `json:"capabilities"`
	Lockdown     string          `json:"lockdown"` // none, integrity, confidentiality or unknown
	Backends     []BackendReport `json:"backends"` // in the order in which Auto tries them
	Auto         string          `json:"auto"`     // the one that Auto would use; "" if none works
}

// BackendReport says whether a backend works on this machine.
type BackendReport struct {
	Name   string `json:"name"`
	Usable bool   `json:"usable"`
	Reason string `json:"reason,omitempty"` // why it does not work, and the remedy
}

// Probe tries each backend for a moment, without observed ports.
func Probe() Report {
	host := socket.Host()
	report := Report{
		Kernel:       host.Kernel,
		Architecture: host.Architecture,
		BTF:          yes(host.BTF),
		RingBuffer:   yes(host.RingBuffer),
		Capabilities: host.Capabilities,
		Lockdown:     host.Lockdown,
	}
	for _, b := range backends() {
		found := BackendReport{Name: b.name, Usable: true}
		if err := b.try(); err != nil {
			found.Usable, found.Reason = false, err.Error()
		} else if report.Auto == "" {
			report.Auto = b.name
		}
		report.Backends = append(report.Backends, found)
	}
	return report
}

func yes(missing error) string {
	if missing != nil {
		return missing.Error()
	}
	return "yes"
}
