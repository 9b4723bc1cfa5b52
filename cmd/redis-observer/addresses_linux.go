package main

import (
	"net/netip"
	"sync"
	"time"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/naming"
	"github.com/redis-observer/redis-observer/internal/report"
	"github.com/redis-observer/redis-observer/internal/server"
)

// surveyAge is the age up to which the last survey is shown, so that many who look cost as little as
// one.
const surveyAge = time.Second

// surveys are the last survey of the connections without a name. The zero value is ready.
type surveys struct {
	mu   sync.Mutex // held during a survey: one at a time
	last correlate.Survey
	at   time.Time
}

// addressView returns the addresses that are observed, for those who may see addresses.
func (o *observer) addressView() report.Addresses {
	if err := server.Guarded(o.endpoint.Addr(), o.config.WebConfig); err != nil {
		return report.Addresses{Reason: "addresses are not served: " + err.Error()}
	}
	v, found := namedAddresses(o.names.Describe()), o.survey()
	v.Uncounted = o.names.DefaultName() == ""
	v.OtherUnnamed, v.OtherConnections = found.OtherPlaces, found.OtherConnections
	for i := range found.Places {
		p := &found.Places[i]
		at := p.Endpoints.RemoteAddrPort()
		if p.Role == event.Server {
			at = p.Endpoints.LocalAddrPort()
		}
		v.Unnamed = append(v.Unnamed, report.Unnamed{Address: at.String(), Role: roleName(p.Role), Connections: p.Connections, Executables: p.Executables})
	}
	v.Sort()
	return v
}

// namedAddresses returns the addresses of the configuration.
func namedAddresses(all []naming.Described) (v report.Addresses) {
	for i := range all {
		d := &all[i]
		if len(v.Named) >= report.MaxNamed {
			v.OtherNamed++
			continue
		}
		n := report.Named{Name: d.Name, Role: d.Role.String(), Address: d.Address.String(), Resolved: resolvedOf(d.Address, d.Resolved)}
		if more := len(n.Resolved) - report.MaxResolved; more > 0 {
			n.Resolved, n.More = n.Resolved[:report.MaxResolved], more
		}
		if d.Failure != nil {
			n.Error = d.Failure.Error()
		}
		v.Named = append(v.Named, n)
	}
	return v
}

// resolvedOf returns the text of what an address of the configuration stands for. A host name has the
// port of the configuration.
func resolvedOf(a address.Address, resolved []netip.AddrPort) []string {
	var texts []string
	for _, of := range resolved {
		text := of.String()
		if a.Host != "" {
			text = of.Addr().String()
		}
		texts = append(texts, text)
	}
	return texts
}

// survey returns where the connections go that no endpoint has. It asks the loop, to which the tracker
// belongs, and returns an older result if that does not answer in time.
func (o *observer) survey() correlate.Survey {
	o.surveys.mu.Lock()
	defer o.surveys.mu.Unlock()
	if time.Since(o.surveys.at) < surveyAge {
		return o.surveys.last
	}
	answer := make(chan correlate.Survey, 1)
	ask := func() {
		unnamed := func(id identity.ID, role event.Role, e *event.Endpoints) bool {
			return !o.counted.Keeps(id) && !o.names.SharesDefault(role, e)
		}
		o.record(o.tracker.Survey(report.MaxUnnamed, unnamed, func(s correlate.Survey) { answer <- s }))
	}
	deadline := time.After(catchUpTime)
	select {
	case o.questions <- ask:
	case <-o.alive.ended:
		return o.surveys.last
	case <-deadline:
		return o.surveys.last
	}
	wake, _ := o.waker()
	for {
		select {
		case o.surveys.last = <-answer:
			o.surveys.at = time.Now()
			return o.surveys.last
		default:
			if !o.alive.await(wake, deadline) {
				return o.surveys.last
			}
		}
	}
}
