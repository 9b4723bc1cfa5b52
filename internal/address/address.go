// Package address parses and prints the addresses of endpoints in the configuration. It is below
// both the configuration and naming.
package address

import (
	"net/netip"
	"strconv"
	"strings"
)

// Address is one of an IP address, a network, a host name, a Service of Kubernetes, or any address,
// together with ports; or the name of SRV records, which have ports; or the path of a Unix socket. Equal addresses match the same connections.
type Address struct {
	Prefix  netip.Prefix // for an IP address or a network, otherwise zero
	Host    string       // lower case, for a host name
	Service string       // namespace/name
	SRV     string       // lower case, the name of the records
	Ports   Ports        // zero only with Path and SRV; with it alone any address matches; of a Service its own
	Path    string       // of a Unix socket, as the server bound it; an abstract name begins with @
}

// Forms lists the accepted forms, for error messages.
const Forms = "allowed host:6379, 10.0.0.10:6379, 10.2.0.0/16:6379, [fd00::7]:6379, [fd00::/64]:6379, *:6379, a range of ports as in *:7000-7005, service://namespace/name:6379, srv://_redis._tcp.example.com, unix:/path, unix:@name"

// String returns the address as Parse accepts it.
func (a Address) String() string {
	if a.Path != "" {
		return unixScheme + a.Path
	}
	if a.SRV != "" {
		return srvScheme + a.SRV
	}
	ports := a.Ports.String()
	switch {
	case a.Service != "":
		return serviceScheme + a.Service + ":" + ports
	case a.Host != "":
		return a.Host + ":" + ports
	case !a.Prefix.IsValid():
		return "*:" + ports
	}
	text := a.Prefix.String()
	if a.Prefix.IsSingleIP() {
		text = a.Prefix.Addr().String()
	}
	if a.Prefix.Addr().Is6() {
		text = "[" + text + "]"
	}
	return text + ":" + ports
}

// Error explains why a text is not a valid address.
type Error struct {
	Cause   string // quotes the text
	Allowed string // a remedy; never empty
}

// Error returns the cause and the remedy in one line.
func (e *Error) Error() string { return e.Cause + " (" + e.Allowed + ")" }

// Parse parses one of Forms. Its error is an *Error.
func Parse(text string) (Address, error) {
	if path, ok := strings.CutPrefix(text, unixScheme); ok && !isNumber(path) {
		if wrong := pathError(text, path); wrong != nil {
			return Address{}, wrong
		}
		return Address{Path: UnixPath(path)}, nil
	}
	if rest, ok := strings.CutPrefix(text, serviceScheme); ok {
		service, wrong := parseService(text, rest)
		if wrong != nil {
			return Address{}, wrong
		}
		return service, nil
	}
	if name, ok := strings.CutPrefix(text, srvScheme); ok {
		records, wrong := parseSRV(text, name)
		if wrong != nil {
			return Address{}, wrong
		}
		return records, nil
	}
	if strings.Contains(text, "://") {
		return Address{}, &Error{Cause: strconv.Quote(text) + " is a URL", Allowed: Forms}
	}
	host, port, wrong := splitPort(text)
	if wrong != nil {
		return Address{}, wrong
	}
	ports, wrong := parsePorts(text, port)
	if wrong != nil {
		return Address{}, wrong
	}
	address := Address{Ports: ports}
	switch {
	case host == "*":
		return address, nil
	case strings.ContainsAny(host, ":/%") || looksNumeric(host):
		address.Prefix, wrong = parsePrefix(host)
	case validHost(host):
		address.Host = strings.ToLower(strings.TrimSuffix(host, "."))
	default:
		wrong = &Error{Cause: strconv.Quote(text) + " has no valid host", Allowed: Forms}
	}
	if wrong != nil {
		return Address{}, wrong
	}
	return address, nil
}

// splitPort splits at the last colon and removes the brackets of an IPv6 host.
func splitPort(text string) (host, port string, wrong *Error) {
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 {
		return "", "", &Error{Cause: strconv.Quote(text) + " has no port", Allowed: Forms}
	}
	host, port = text[:colon], text[colon+1:]
	if inner, open := strings.CutPrefix(host, "["); open {
		inner, closed := strings.CutSuffix(inner, "]")
		if !closed || !strings.Contains(inner, ":") {
			return "", "", &Error{Cause: strconv.Quote(text) + " has misplaced brackets", Allowed: Forms}
		}
		return inner, port, nil
	}
	if strings.Contains(host, ":") {
		return "", "", &Error{Cause: strconv.Quote(text) + " is an IPv6 address without brackets", Allowed: "write [fd00::7]:6379"}
	}
	return host, port, nil
}

// parsePrefix parses an IP address or a network. IPv4-mapped IPv6 becomes IPv4, the form in which
// connections are looked up.
func parsePrefix(host string) (netip.Prefix, *Error) {
	if !strings.Contains(host, "/") {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return netip.Prefix{}, &Error{Cause: strconv.Quote(host) + " is not an IP address", Allowed: Forms}
		}
		if addr.Zone() != "" {
			return netip.Prefix{}, &Error{Cause: strconv.Quote(host) + " has a zone, which cannot be matched", Allowed: "write it without %" + addr.Zone()}
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(host)
	if err != nil {
		return netip.Prefix{}, &Error{Cause: strconv.Quote(host) + " is not a network", Allowed: Forms}
	}
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	if masked := prefix.Masked(); masked != prefix {
		return netip.Prefix{}, &Error{Cause: strconv.Quote(host) + " has host bits set", Allowed: "write " + masked.String()}
	}
	return prefix, nil
}

// looksNumeric reports whether the last label is a number, which no host name has: the text is then
// a mistyped IPv4 address.
func looksNumeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	_, err := strconv.ParseUint(last, 10, 64)
	return err == nil
}

// validHost accepts DNS names, and underscores, which Docker and some zones use.
func validHost(host string) bool {
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
			if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
