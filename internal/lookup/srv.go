package lookup

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// maxTargets limits the hosts that are looked up for SRV records: a DNS server chooses them.
const maxTargets = 64

var errNoTarget = errors.New("the SRV records have no host with an address")

// LookupSRV returns the addresses and ports of the SRV records of a name, and the shortest lifetime
// of all records on the way to them; 0 if there is none. Priorities and weights do not matter. A
// host that does not resolve is left out, unless none does.
func (r *Resolver) LookupSRV(ctx context.Context, name string) ([]netip.AddrPort, time.Duration, error) {
	shortest := new(lifetime)
	ctx = context.WithValue(ctx, lifetimeKey{}, shortest)
	_, records, err := r.system.LookupSRV(ctx, "", "", name)
	if len(records) == 0 { // with an error there are those that are valid
		if err == nil {
			err = errNoTarget
		}
		return nil, 0, err
	}
	ports := map[string][]uint16{}
	for _, record := range records {
		if _, known := ports[record.Target]; record.Target != "." && record.Port != 0 && (known || len(ports) < maxTargets) {
			ports[record.Target] = append(ports[record.Target], record.Port)
		}
	}
	found, failure := r.targets(ctx, ports)
	if len(found) == 0 {
		return nil, 0, errors.Join(errNoTarget, failure)
	}
	return found, shortest.get(), nil
}

// targets looks up hosts at the same time, and returns their addresses with the ports of each.
func (r *Resolver) targets(ctx context.Context, ports map[string][]uint16) (found []netip.AddrPort, failure error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for host, of := range ports {
		all.Go(func() {
			addresses, err := r.system.LookupNetIP(ctx, "ip", host)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failure = err
			}
			for _, address := range addresses {
				for _, port := range of {
					found = append(found, netip.AddrPortFrom(address, port))
				}
			}
		})
	}
	all.Wait()
	return found, failure
}
