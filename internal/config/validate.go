package config

import (
	"fmt"
	"maps"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/owner"
	"github.com/redis-observer/redis-observer/internal/plainfile"
)

// Limits of configured values.
const (
	minRingSize      = 64 << 10
	maxRingSize      = 1 << 30
	minBytesPerCall  = 256
	maxBytesPerCall  = 8 << 20
	minFlush         = 100 * time.Microsecond
	maxFlush         = time.Second
	minResolve       = time.Second
	maxNameLength    = 128
	maxBuckets       = 100
	maxExtraCommands = 1024
	maxLabelSets     = 100_000
	minLabelTTL      = time.Minute
	maxSlowCommands  = 1000
	minThreshold     = 100 * time.Microsecond
	maxThreshold     = time.Hour
)

// validate returns all faults of a decoded configuration. Without backends, any backend is valid.
func (c *Config) validate(backends []string) []error {
	var found faultList
	found.add("listen", listenFault(c.Listen))
	if c.WebConfig != "" {
		if err := plainfile.Check(c.WebConfig); err != nil {
			found.add("web_config", &Fault{Cause: err.Error(), Allowed: "allowed the path of a web configuration file, or an empty text"})
		}
	}
	c.Capture.validate(backends, &found)
	for i, port := range c.Ports {
		if port < 1 || port > math.MaxUint16 {
			found.add(fmt.Sprintf("ports[%d]", i), &Fault{Cause: fmt.Sprintf("%d is not a port", port), Allowed: "allowed 1 to 65535"})
		}
	}
	c.validateScope(&found)
	if c.DefaultName != "" {
		found.add("default_name", nameFault(c.DefaultName))
	}
	validateEndpoints(c.Endpoints, &found)
	c.Ignore.validate(&found)
	if c.ResolveInterval < minResolve {
		found.add("resolve_interval", &Fault{Cause: c.ResolveInterval.String() + " is too short", Allowed: "allowed 1s or more"})
	}
	c.Metrics.validate(&found)
	validateCommands(c, &found)
	if c.SlowCommands.Size < 0 || c.SlowCommands.Size > maxSlowCommands {
		found.add("slow_commands.size", &Fault{Cause: fmt.Sprintf("%d is out of range", c.SlowCommands.Size), Allowed: fmt.Sprintf("allowed 0 to %d, 0 for none", maxSlowCommands)})
	}
	if c.SlowCommands.Threshold < minThreshold || c.SlowCommands.Threshold > maxThreshold {
		found.add("slow_commands.threshold", &Fault{Cause: c.SlowCommands.Threshold.String() + " is out of range", Allowed: "allowed 100µs to 1h"})
	}
	c.OTLP.validate(&found)
	if c.Log.Format != TextFormat && c.Log.Format != JSONFormat {
		found.add("log.format", unknownValue(c.Log.Format, TextFormat, JSONFormat))
	}
	return found
}

// faultList collects faults with their paths.
type faultList []error

func (l *faultList) add(path string, fault *Fault) {
	if fault != nil {
		fault.Path = path
		*l = append(*l, fault)
	}
}

func listenFault(listen string) *Fault {
	const allowed = "allowed :9479, 127.0.0.1:9479, [::1]:9479"
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return &Fault{Cause: strconv.Quote(listen) + " is not an address with a port", Allowed: allowed}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return &Fault{Cause: strconv.Quote(listen) + " has no valid port", Allowed: allowed}
	}
	return nil
}

func (c *Capture) validate(backends []string, found *faultList) {
	if len(backends) > 0 && !slices.Contains(backends, c.Backend) {
		found.add("capture.backend", unknownValue(c.Backend, backends...))
	}
	found.add("capture.ring_size", ringFault(c.RingSize))
	if c.FlushInterval < minFlush || c.FlushInterval > maxFlush {
		found.add("capture.flush_interval", &Fault{Cause: c.FlushInterval.String() + " is out of range", Allowed: "allowed 100µs to 1s"})
	}
	if c.MaxBytesPerCall < minBytesPerCall || c.MaxBytesPerCall > maxBytesPerCall {
		found.add("capture.max_bytes_per_call", &Fault{Cause: c.MaxBytesPerCall.String() + " is out of range", Allowed: "allowed 256 to 8MiB"})
	}
	if c.TLS != Auto && c.TLS != Off {
		found.add("capture.tls", unknownValue(c.TLS, Auto, Off))
	}
	if c.UserNamespaces != Allow && c.UserNamespaces != Unnamed {
		found.add("capture.user_namespaces", unknownValue(c.UserNamespaces, Allow, Unnamed))
	}
	for i, name := range c.Interfaces {
		if name == "" || len(name) > 15 || strings.ContainsAny(name, "/ \t\n") {
			found.add(fmt.Sprintf("capture.interfaces[%d]", i), &Fault{Cause: strconv.Quote(name) + " is not the name of an interface", Allowed: "allowed a name such as eth0"})
		}
	}
}

// ringFault requires a size that the kernel accepts, instead of rounding silently.
func ringFault(size Size) *Fault {
	page := Size(os.Getpagesize())
	smallest := max(minRingSize, page)
	if size < smallest || size > maxRingSize {
		return &Fault{Cause: size.String() + " is out of range", Allowed: fmt.Sprintf("allowed a power of two from %s to %s", smallest, Size(maxRingSize))}
	}
	// A power of two that is not below the page size is a multiple of it.
	if next := powerOfTwo(size); next != size {
		return &Fault{Cause: size.String() + " is not a power of two", Allowed: fmt.Sprintf("use %s or %s", next/2, next)}
	}
	return nil
}

func nameFault(name string) *Fault {
	const allowed = "allowed 1 to 128 bytes of printable text"
	switch {
	case strings.TrimSpace(name) == "":
		return &Fault{Cause: "must not be empty", Allowed: allowed}
	case len(name) > maxNameLength:
		return &Fault{Cause: fmt.Sprintf("is %d bytes long", len(name)), Allowed: allowed}
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return &Fault{Cause: strconv.Quote(name) + " is not printable", Allowed: allowed}
	}
	return nil
}

// validateScope rejects a configuration that counts nothing.
func (c *Config) validateScope(found *faultList) {
	counting := slices.ContainsFunc(c.Endpoints, func(e Endpoint) bool { return e.Role != address.Ignore })
	switch {
	case counting:
	case len(c.Ports) == 0:
		found.add("ports", &Fault{Cause: "no port to observe", Allowed: "list at least one, or add an endpoint"})
	case c.DefaultName == "":
		found.add("default_name", &Fault{Cause: "nothing has a name", Allowed: "set a name, or add an endpoint"})
	}
}

// holder is the endpoint that has an address.
type holder struct {
	path, name string
	role       address.Role
	ports      address.Ports
}

// validateEndpoints also rejects addresses that are ambiguous, or would be counted at both ends. A
// range of ports within another one is the more specific of the two.
func validateEndpoints(endpoints []Endpoint, found *faultList) {
	owners := map[address.Address]holder{}
	ranges := map[address.Address][]holder{} // those of several ports, by the address without them
	for i, endpoint := range endpoints {
		path := fmt.Sprintf("endpoints[%d]", i)
		if endpoint.Role != address.Ignore || endpoint.Name != "" {
			found.add(path+".name", nameFault(endpoint.Name))
		}
		if len(endpoint.Addresses) == 0 {
			found.add(path+".addresses", &Fault{Cause: "must not be empty", Allowed: address.Forms})
		}
		for j, a := range endpoint.Addresses {
			if a == (address.Address{}) { // could not be decoded and is already reported
				continue
			}
			this := holder{fmt.Sprintf("%s.addresses[%d]", path, j), endpoint.Name, endpoint.Role, a.Ports}
			found.add(this.path, pathFault(a, endpoint.Role))
			if first, taken := owners[a]; taken {
				found.add(this.path, this.repeats(a, first))
				continue
			}
			owners[a] = this
			if a.Ports.Single() {
				continue
			}
			bare := a
			bare.Ports = address.Ports{}
			for _, other := range ranges[bare] {
				if a.Ports.Crosses(other.ports) {
					found.add(this.path, &Fault{Cause: fmt.Sprintf("%s and %s of %q have ports in common, and neither is the more specific one", a, other.path, other.name), Allowed: "give each port to one of them"})
					break
				}
			}
			ranges[bare] = append(ranges[bare], this)
		}
	}
}

// repeats returns the fault of an address that an earlier endpoint has.
func (o holder) repeats(a address.Address, first holder) *Fault {
	cause := a.String() + " is also " + first.path
	switch {
	case first.role != o.role:
		cause = fmt.Sprintf("%s of %q is also %s of %q with role %s, so it is not clear which one decides", a, o.name, first.path, first.name, first.role)
	case first.name != o.name:
		cause += " of " + strconv.Quote(first.name)
	}
	return &Fault{Cause: cause, Allowed: "remove one of them"}
}

// pathFault rejects a path to ignore, because others are not observed, and the path of a directory.
// The socket itself need not exist: its server may start later, or bind it in another mount
// namespace.
func pathFault(a address.Address, role address.Role) *Fault {
	if a.Path != "" && role == address.Ignore {
		return &Fault{Cause: a.String() + " cannot be ignored, because Unix sockets that are not listed are not observed", Allowed: "remove it"}
	}
	if !strings.HasPrefix(a.Path, "/") {
		return nil
	}
	if file, err := os.Stat(a.Path); err == nil && file.IsDir() {
		return &Fault{Cause: a.String() + " is a directory", Allowed: "allowed the path of a socket, such as unix:/run/redis/redis.sock"}
	}
	return nil
}

func (m *Metrics) validate(found *faultList) {
	if len(m.Buckets) == 0 || len(m.Buckets) > maxBuckets {
		found.add("metrics.buckets", &Fault{Cause: fmt.Sprintf("has %d bounds", len(m.Buckets)), Allowed: "allowed 1 to 100, in seconds"})
	}
	for i, bound := range m.Buckets {
		path := fmt.Sprintf("metrics.buckets[%d]", i)
		switch {
		case !(bound > 0) || math.IsInf(bound, 0):
			found.add(path, &Fault{Cause: fmt.Sprintf("%g is not a finite positive number", bound), Allowed: "allowed seconds, as in 0.005"})
		case i > 0 && bound <= m.Buckets[i-1]:
			found.add(path, &Fault{Cause: fmt.Sprintf("%g is not greater than the previous bound %g", bound, m.Buckets[i-1]), Allowed: "allowed ascending bounds"})
		}
	}
	if m.CommandNames != WireNames && m.CommandNames != RedisPyNames {
		found.add("metrics.command_names", unknownValue(m.CommandNames, WireNames, RedisPyNames))
	}
	m.validateLabels(found)
}

func (m *Metrics) validateLabels(found *faultList) {
	for i, label := range m.Labels {
		path := fmt.Sprintf("metrics.labels[%d]", i)
		switch {
		case !slices.Contains(owner.Labels(), label):
			found.add(path, unknownValue(label, owner.Labels()...))
		case slices.Contains(m.Labels[:i], label):
			found.add(path, &Fault{Cause: label + " is listed twice", Allowed: "remove one of them"})
		}
	}
	if m.MaxLabelSets < 1 || m.MaxLabelSets > maxLabelSets {
		found.add("metrics.max_label_sets", &Fault{Cause: fmt.Sprintf("%d is out of range", m.MaxLabelSets), Allowed: fmt.Sprintf("allowed 1 to %d", maxLabelSets)})
	}
	if m.LabelTTL < minLabelTTL {
		found.add("metrics.label_ttl", &Fault{Cause: m.LabelTTL.String() + " is too short", Allowed: "allowed 1m or more"})
	}
}

// validateCommands applies the rules of the command table. It checks the names one by one to find
// the key of each error.
func validateCommands(c *Config, found *faultList) {
	if _, err := command.New(c.ExtraCommands, c.RenamedCommands); err == nil {
		return
	}
	if len(c.ExtraCommands) > maxExtraCommands {
		found.add("extra_commands", &Fault{Cause: fmt.Sprintf("has %d names", len(c.ExtraCommands)), Allowed: fmt.Sprintf("allowed up to %d", maxExtraCommands)})
		return
	}
	var extra []string
	for i, name := range c.ExtraCommands {
		if _, err := command.New([]string{name}, nil); err != nil {
			found.add(fmt.Sprintf("extra_commands[%d]", i), &Fault{Cause: err.Error()})
			continue
		}
		extra = append(extra, name)
	}
	for _, wire := range slices.Sorted(maps.Keys(c.RenamedCommands)) {
		if _, err := command.New(extra, map[string]string{wire: c.RenamedCommands[wire]}); err != nil {
			found.add("renamed_commands."+wire, &Fault{Cause: err.Error()})
		}
	}
}

// orList joins alternatives: "a, b or c".
func orList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
