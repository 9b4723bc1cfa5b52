package kube

import (
	"cmp"
	"context"
	"net/netip"
	"net/url"
	"slices"
	"sync"
)

const (
	maxAddresses = 4096 // of one port of a Service
	maxPorts     = 64   // of a Service
)

// Addresses are those of a Service by its ports: its own and those of the pods behind it.
type Addresses map[uint16][]netip.AddrPort

// service is a Service of the API.
type service struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		ClusterIPs  []string `json:"clusterIPs"`
		ExternalIPs []string `json:"externalIPs"`
		Ports       []port   `json:"ports"`
	} `json:"spec"`
	Status struct {
		LoadBalancer struct {
			Ingress []struct {
				IP string `json:"ip"`
			} `json:"ingress"`
		} `json:"loadBalancer"`
	} `json:"status"`
}

// slice is an EndpointSlice of the API. Its ports are those of the pods, under the names that the
// ports of the Service have.
type slice struct {
	Metadata  metadata `json:"metadata"`
	Endpoints []struct {
		Addresses []string `json:"addresses"`
	} `json:"endpoints"`
	Ports []port `json:"ports"`
}

type port struct {
	Name     string `json:"name"`
	Port     uint16 `json:"port"`
	Protocol string `json:"protocol"`
}

// tcp reports whether the port is one of TCP, which is the default.
func (p port) tcp() bool { return p.Port != 0 && (p.Protocol == "" || p.Protocol == "TCP") }

func (s service) key() string     { return s.Metadata.Name }
func (s service) version() string { return s.Metadata.ResourceVersion }
func (s slice) key() string       { return s.Metadata.Name }
func (s slice) version() string   { return s.Metadata.ResourceVersion }

// Watch follows a Service until ctx ends. changed gets its addresses once they are known, and
// whenever they change. failed gets each failure, and nil when a watch works again.
func (c *Client) Watch(ctx context.Context, namespace, name string, changed func(Addresses), failed func(error)) {
	f := &follower{changed: changed}
	space := "/namespaces/" + url.PathEscape(namespace)
	var both sync.WaitGroup
	both.Go(func() {
		(&watch[service]{c, "/api/v1" + space + "/services", url.Values{"fieldSelector": {"metadata.name=" + name}}, f.setServices, failed}).run(ctx)
	})
	both.Go(func() {
		(&watch[slice]{c, "/apis/discovery.k8s.io/v1" + space + "/endpointslices", url.Values{"labelSelector": {"kubernetes.io/service-name=" + name}}, f.setSlices, failed}).run(ctx)
	})
	both.Wait()
}

// follower joins what two watches know of a Service.
type follower struct {
	changed func(Addresses)

	mu       sync.Mutex
	listed   [2]bool // Service, EndpointSlices
	services []service
	slices   []slice
}

func (f *follower) setServices(all map[string]service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listed[0], f.services = true, values(all)
	f.publish()
}

func (f *follower) setSlices(all map[string]slice) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listed[1], f.slices = true, values(all)
	f.publish()
}

// values returns the objects by name, so that the order is the same each time.
func values[T object](all map[string]T) []T {
	list := make([]T, 0, len(all))
	for _, o := range all {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b T) int {
		return cmp.Compare(a.key(), b.key())
	})
	return list
}

// publish hands out the addresses once both watches have listed. The caller must hold mu.
func (f *follower) publish() {
	if f.listed == [2]bool{true, true} {
		f.changed(addresses(f.services, f.slices))
	}
}

// addresses returns the addresses of a Service.
func addresses(services []service, behind []slice) Addresses {
	all := Addresses{}
	for _, s := range services {
		for _, p := range s.Spec.Ports[:min(len(s.Spec.Ports), maxPorts)] {
			if !p.tcp() {
				continue
			}
			own := slices.Concat(s.Spec.ClusterIPs, s.Spec.ExternalIPs)
			for _, ingress := range s.Status.LoadBalancer.Ingress {
				own = append(own, ingress.IP)
			}
			all[p.Port] = appendAddresses([]netip.AddrPort{}, own, p.Port)
			for _, b := range behind {
				all[p.Port] = b.appendTo(all[p.Port], p.Name)
			}
		}
	}
	return all
}

// appendTo appends the addresses of the pods at the port that has a name.
func (s slice) appendTo(list []netip.AddrPort, name string) []netip.AddrPort {
	for _, p := range s.Ports[:min(len(s.Ports), maxPorts)] {
		if p.Name != name || !p.tcp() {
			continue
		}
		for _, e := range s.Endpoints {
			list = appendAddresses(list, e.Addresses, p.Port)
		}
	}
	return list
}

// appendAddresses leaves out what is no address: "None" of a headless Service, host names.
func appendAddresses(list []netip.AddrPort, texts []string, port uint16) []netip.AddrPort {
	for _, text := range texts {
		addr, err := netip.ParseAddr(text)
		if err == nil && !addr.IsUnspecified() && len(list) < maxAddresses {
			list = append(list, netip.AddrPortFrom(addr.Unmap().WithZone(""), port))
		}
	}
	return list
}
