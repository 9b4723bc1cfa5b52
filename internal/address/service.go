package address

import (
	"strconv"
	"strings"
)

// serviceScheme begins the address of a Service of Kubernetes.
const serviceScheme = "service://"

// parseService parses namespace/name:port, of a text that began with the scheme.
func parseService(text, rest string) (Address, *Error) {
	const form = "write service://namespace/name:6379, with a port of the Service"
	service, port, _ := strings.Cut(rest, ":")
	namespace, name, _ := strings.Cut(service, "/")
	if !validLabel(namespace) || !validLabel(name) {
		return Address{}, &Error{Cause: strconv.Quote(text) + " has no valid namespace and name", Allowed: form}
	}
	number, ok := parsePort(port)
	if !ok {
		return Address{}, &Error{Cause: strconv.Quote(text) + " has no valid port", Allowed: form}
	}
	return Address{Service: service, Ports: Port(number)}, nil
}

// validLabel accepts the names of namespaces and Services: lower case letters, digits and hyphens.
func validLabel(text string) bool {
	return validHost(text) && !strings.ContainsAny(text, "._") && text == strings.ToLower(text)
}
