package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/redis-observer/redis-observer/internal/spelling"
)

// prefix begins the name of each variable.
const prefix = "REDIS_OBSERVER_"

// ofKubernetes are the variables that Kubernetes sets in every pod beside a Service whose name
// begins as ours.
var ofKubernetes = regexp.MustCompile(`_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)=|_PORT=[a-z]+://|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=`)

// UnknownVariables returns a fault for each variable in environ, in the form of os.Environ, that has
// the prefix of the variables of keys, is that of no key and not set by Kubernetes. They are sorted.
// The loader ignores them, and all empty variables.
func UnknownVariables(environ []string) []*Fault {
	var known []string
	for _, key := range leafKeys() {
		known = append(known, strings.TrimPrefix(Variable(key), prefix))
	}
	var faults []*Fault
	for _, variable := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(variable, "=")
		own, ours := strings.CutPrefix(name, prefix)
		if !ours || value == "" || slices.Contains(known, own) || ofKubernetes.MatchString(variable) {
			continue
		}
		fault := &Fault{At: name, Cause: "is the variable of no key", Allowed: "unset it"}
		if near := spelling.Nearest(own, known); near != "" {
			fault.Allowed = "did you mean " + prefix + near + "?"
		}
		faults = append(faults, fault)
	}
	return faults
}
