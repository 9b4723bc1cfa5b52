package address

import (
	"strconv"
	"strings"
)

// srvScheme begins the name of SRV records.
const srvScheme = "srv://"

// parseSRV parses the name of SRV records, of a text that began with the scheme.
func parseSRV(text, name string) (Address, *Error) {
	const form = "write srv://_redis._tcp.example.com; the ports are those of the records"
	if strings.Contains(name, ":") {
		return Address{}, &Error{Cause: strconv.Quote(text) + " has a port", Allowed: form}
	}
	if !validHost(name) || looksNumeric(strings.TrimSuffix(name, ".")) {
		return Address{}, &Error{Cause: strconv.Quote(text) + " has no valid name", Allowed: form}
	}
	return Address{SRV: strings.ToLower(strings.TrimSuffix(name, "."))}, nil
}

// Lookup returns what DNS is asked for: a host name, or the name of SRV records behind srv://. It is
// empty for other addresses.
func (a Address) Lookup() string {
	if a.SRV != "" {
		return srvScheme + a.SRV
	}
	return a.Host
}

// CutSRV returns the name of SRV records in what Lookup returned, and false for a host name.
func CutSRV(lookup string) (name string, found bool) { return strings.CutPrefix(lookup, srvScheme) }
