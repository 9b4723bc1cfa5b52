package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/metrics"
	"github.com/redis-observer/redis-observer/internal/naming"
	"github.com/redis-observer/redis-observer/internal/owner"
	"github.com/redis-observer/redis-observer/internal/server"
)

// configuration is the part of a verdict that needs no privilege: what is wrong with the
// configuration, or what it means.
type configuration struct {
	File        string           `json:"file"`
	Valid       bool             `json:"valid"`
	Faults      []string         `json:"faults"` // file:line:column: key: cause (remedy)
	Backend     string           `json:"backend"`
	Listen      string           `json:"listen,omitempty"`
	Endpoints   []understoodName `json:"endpoints,omitempty"`
	DefaultName string           `json:"default_name,omitempty"`
	ClientPorts []uint16         `json:"client_ports,omitempty"` // remote ports of the connections counted at the end that connected
	ServerPorts []uint16         `json:"server_ports,omitempty"` // local ports of those counted at the end that accepted
	Ignore      *ignored         `json:"ignore,omitempty"`       // nil if nobody is left out
	Notes       []string         `json:"notes,omitempty"`        // valid, but perhaps not intended
	Pods        *podAccess       `json:"pods,omitempty"`         // nil unless a label needs the pods of the node
	Collector   *collectorAccess `json:"collector,omitempty"`    // nil without an export
	Series      *metrics.Bound   `json:"series,omitempty"`
	understood  *understanding   // nil unless valid
}

type understoodName struct {
	Name      string              `json:"name"`
	Role      string              `json:"role"`
	Addresses []understoodAddress `json:"addresses"`
}

// String returns the name and the end that counts.
func (n understoodName) String() string {
	if n.Role == address.Ignore.String() {
		return strings.TrimPrefix(n.Name+", ignored at both ends", ", ")
	}
	return n.Name + ", at the " + n.Role + " end"
}

type understoodAddress struct {
	Address  string   `json:"address"`
	Resolved []string `json:"resolved,omitempty"` // of a host name, or with ports of SRV records
	Error    string   `json:"error,omitempty"`    // of the lookup of a name
}

// understanding is a configuration as the daemon would use it.
type understanding struct {
	config *config.Config
	text   []byte
	load   config.Loader
	names  *naming.Names
}

// checkConfiguration verifies all that the daemon would use, and continues after a fault.
func (p program) checkConfiguration(ctx context.Context, load config.Loader) configuration {
	result := configuration{File: load.Path, Backend: capture.Auto, Faults: []string{}}
	c, text, err := load.LoadText()
	faults := config.Faults(err)
	if err != nil && len(faults) == 0 {
		result.Faults = append(result.Faults, err.Error())
	}
	if c != nil {
		faults = append(faults, endpointFaults(load, c, text)...)
	}
	for _, fault := range append(faults, config.UnknownVariables(os.Environ())...) {
		result.Faults = append(result.Faults, fault.Error())
	}
	if result.Valid = len(result.Faults) == 0; result.Valid {
		result.understand(ctx, understanding{c, text, load, naming.New(ctx, rulesOf(c), p.resolver, slog.New(slog.DiscardHandler))})
	}
	return result
}

// endpointFaults verifies what the HTTP endpoint needs. It does not take the port, which a running
// observer has.
func endpointFaults(load config.Loader, c *config.Config, text []byte) []*config.Fault {
	var faults []*config.Fault
	if err := server.CheckWebConfig(c.WebConfig); err != nil {
		faults = append(faults, &config.Fault{At: load.Where(text, "web_config"), Path: "web_config", Cause: err.Error()})
	}
	host, _, _ := net.SplitHostPort(c.Listen) // the configuration is valid
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return append(faults, &config.Fault{At: load.Where(text, "listen"), Path: "listen", Cause: err.Error(), Allowed: "allowed an address of this host, or none for all: :9479"})
	}
	_ = listener.Close() // nothing was accepted
	return faults
}

// understand describes a valid configuration.
func (r *configuration) understand(ctx context.Context, u understanding) {
	c := u.config
	r.understood, r.Backend, r.Listen, r.DefaultName = &u, c.Capture.Backend, c.Listen, c.DefaultName
	r.ClientPorts, r.ServerPorts = u.names.ClientPorts(), u.names.ServerPorts()
	for _, endpoint := range c.Endpoints {
		named := understoodName{Name: endpoint.Name, Role: endpoint.Role.String()}
		for _, a := range endpoint.Addresses {
			named.Addresses = append(named.Addresses, u.address(a))
			r.Notes = append(r.Notes, u.shadowed(endpoint, a)...)
		}
		r.Endpoints = append(r.Endpoints, named)
	}
	r.Ignore = ignoredOf(c)
	if address, err := net.ResolveTCPAddr("tcp", c.Listen); err == nil {
		if note := slowNote(c, address); note != "" {
			r.Notes = append(r.Notes, note)
		}
	}
	r.Pods = checkPods(ctx, c)
	r.Collector = checkCollector(ctx, c)
	if owner.RuntimesWanted(c.Metrics.Labels) {
		r.Notes = append(r.Notes, runtimeNotes(owner.NewRuntimes(os.DirFS("/")))...)
	}
	if table, err := command.New(c.ExtraCommands, c.RenamedCommands); err == nil {
		series := metrics.NewBound(c.Identities(), table.Labels(c.Metrics.Style()), len(c.Metrics.Buckets), c.Metrics.Phases)
		r.Series = &series
	}
}

func (u understanding) address(a address.Address) understoodAddress {
	shown := understoodAddress{Address: a.String()}
	if a.Lookup() == "" {
		return shown
	}
	addresses, err := u.names.Host(a.Lookup())
	shown.Resolved = resolvedOf(a, addresses)
	if err != nil {
		shown.Error = err.Error()
	}
	return shown
}

// shadowed returns the addresses of a host name or of SRV records that count under another name.
func (u understanding) shadowed(endpoint config.Endpoint, a address.Address) []string {
	var notes []string
	if a.Lookup() == "" {
		return nil
	}
	addresses, _ := u.names.Host(a.Lookup())
	for _, server := range addresses {
		if a.SRV == "" {
			server = netip.AddrPortFrom(server.Addr(), a.Ports.First)
		}
		for _, role := range []event.Role{event.Client, event.Server} {
			if match := u.names.Explain(role, server); match.Counted && (match.Name != endpoint.Name || address.Role(role) != endpoint.Role) {
				notes = append(notes, fmt.Sprintf("%s of %s is %s, which counts as %s at the %s end: %s", a, endpoint.Name, server, match.Name, roleName(role), u.because(match)))
			}
		}
	}
	return notes
}

// runtimeNotes says where names of containers can be read.
func runtimeNotes(runtimes *owner.Runtimes) []string {
	folders, faults := runtimes.Readable()
	var notes []string
	for _, fault := range faults {
		notes = append(notes, fmt.Sprintf("container_name: names in this folder are unknown: %v", fault))
	}
	if len(folders) == 0 {
		return append(notes, "container_name: no files of Docker or Podman can be read, so outside of pods it is unknown")
	}
	return append(notes, "container_name: names are read in "+strings.Join(folders, " and "))
}

// because returns the reason of a match with the address of the configuration that decides.
func (u understanding) because(m naming.Match) string {
	if m.Rule == (address.Address{}) {
		return string(m.Reason)
	}
	at := u.load.Where(u.text, m.Path)
	return fmt.Sprintf("%s is %s (%s)", m.Rule, m.Reason, strings.TrimPrefix(at+" "+m.Path, " "))
}

// roleName returns the name of an end.
func roleName(role event.Role) string { return address.Role(role).String() }

func (r *configuration) write(w io.Writer) {
	file, state := r.File, "valid"
	if file == "" {
		file = "none, all keys at their defaults"
	}
	if !r.Valid {
		state = plural(len(r.Faults), "fault")
	}
	fmt.Fprintf(w, "configuration\t%s: %s\n", file, state)
	for _, fault := range r.Faults {
		fmt.Fprintf(w, "\t%s\n", fault)
	}
	if !r.Valid {
		return
	}
	for _, endpoint := range r.Endpoints {
		fmt.Fprintf(w, "endpoint\t%s\n", endpoint)
		for _, a := range endpoint.Addresses {
			fmt.Fprintf(w, "\t  %s\n", a)
		}
	}
	fmt.Fprintf(w, "observed ports\tclient end: %s; server end: %s\n", ports(r.ClientPorts), ports(r.ServerPorts))
	others := r.DefaultName
	if others == "" {
		others = "not counted"
	}
	fmt.Fprintf(w, "other addresses\t%s\n", others)
	if r.Ignore != nil {
		r.Ignore.write(w)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note\t%s\n", note)
	}
	if r.Pods != nil {
		fmt.Fprintf(w, "pods\t%s\n", r.Pods)
	}
	fmt.Fprintf(w, "listens on\t%s\n", r.Listen)
	if r.Collector != nil {
		fmt.Fprintf(w, "exports to\t%s\n", r.Collector)
	}
	if r.Series != nil {
		fmt.Fprintf(w, "series\t%s\n", r.Series)
	}
}

// String returns the address, and that of a host name with those that it resolves to.
func (a understoodAddress) String() string {
	switch {
	case a.Error != "":
		return a.Address + " does not resolve: " + a.Error
	case len(a.Resolved) == 0:
		return a.Address
	}
	return a.Address + " = " + strings.Join(a.Resolved, ", ")
}

// ports returns ascending ports as text, neighbours as a range.
func ports(list []uint16) string {
	if len(list) == 0 {
		return "none"
	}
	var ranges []string
	for i := 0; i < len(list); {
		r := address.Port(list[i])
		for i++; i < len(list) && list[i] == r.Last+1; i++ {
			r.Last = list[i]
		}
		ranges = append(ranges, r.String())
	}
	return strings.Join(ranges, " ")
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}
