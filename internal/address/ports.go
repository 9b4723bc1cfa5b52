package address

import (
	"strconv"
	"strings"
)

// Ports is a range of ports, the first and the last one included.
type Ports struct {
	First, Last uint16
}

// Port returns the range of one port.
func Port(port uint16) Ports { return Ports{port, port} }

// Contains reports whether a port is in the range.
func (p Ports) Contains(port uint16) bool { return p.First <= port && port <= p.Last }

// Single reports whether the range is one port.
func (p Ports) Single() bool { return p.First == p.Last }

// Width returns by how much the last port exceeds the first one.
func (p Ports) Width() int { return int(p.Last) - int(p.First) }

// Crosses reports whether two ranges have ports in common, and neither contains the other.
func (p Ports) Crosses(other Ports) bool {
	return p.First < other.First && other.First <= p.Last && p.Last < other.Last ||
		other.First < p.First && p.First <= other.Last && other.Last < p.Last
}

// String returns the range as Parse accepts it.
func (p Ports) String() string {
	if p.Single() {
		return strconv.Itoa(int(p.First))
	}
	return strconv.Itoa(int(p.First)) + "-" + strconv.Itoa(int(p.Last))
}

// parsePorts parses a port or a range of ports of an address.
func parsePorts(address, text string) (Ports, *Error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	low, okLow := parsePort(first)
	high, okHigh := parsePort(last)
	switch {
	case !okLow || !okHigh:
		return Ports{}, &Error{Cause: strconv.Quote(address) + " has no valid port", Allowed: "allowed 1 to 65535, as in 10.0.0.10:6379, or a range, as in 10.0.0.10:7000-7005"}
	case low > high:
		return Ports{}, &Error{Cause: strconv.Quote(address) + " has a range that ends before it begins", Allowed: "write " + last + "-" + first}
	}
	return Ports{low, high}, nil
}

func parsePort(text string) (uint16, bool) {
	number, err := strconv.ParseUint(text, 10, 16)
	return uint16(number), err == nil && number > 0
}
