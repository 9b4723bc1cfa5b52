package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Ignore says whose connections are left out, by names in which * stands for any text.
type Ignore struct {
	Processes  []string `mapstructure:"processes"`
	Units      []string `mapstructure:"units"`
	Namespaces []string `mapstructure:"namespaces"`
}

// Limits of the patterns.
const (
	maxIgnored    = 256 // of each kind
	maxExecutable = 63  // bytes of the name of an executable that the probes tell
	maxUnit       = 127 // of the name of a cgroup
	maxNamespace  = 63
)

func (i *Ignore) validate(found *faultList) {
	validatePatterns("ignore.processes", i.Processes, processFault, found)
	validatePatterns("ignore.units", i.Units, unitFault, found)
	validatePatterns("ignore.namespaces", i.Namespaces, namespaceFault, found)
}

func validatePatterns(key string, patterns []string, fault func(string) *Fault, found *faultList) {
	if len(patterns) > maxIgnored {
		found.add(key, &Fault{Cause: fmt.Sprintf("has %d names", len(patterns)), Allowed: fmt.Sprintf("allowed up to %d; * stands for any text", maxIgnored)})
		return
	}
	first := map[string]bool{}
	for j, pattern := range patterns {
		path := fmt.Sprintf("%s[%d]", key, j)
		switch {
		case pattern == "":
			found.add(path, &Fault{Cause: "must not be empty", Allowed: "allowed a name, in which * stands for any text"})
		case first[pattern]:
			found.add(path, &Fault{Cause: pattern + " is listed twice", Allowed: "remove one of them"})
		case !utf8.ValidString(pattern) || strings.ContainsFunc(pattern, func(r rune) bool { return !unicode.IsPrint(r) }):
			found.add(path, &Fault{Cause: strconv.Quote(pattern) + " is not printable", Allowed: "allowed a name, in which * stands for any text"})
		default:
			found.add(path, fault(pattern))
		}
		first[pattern] = true
	}
}

// tooLong returns the fault of a pattern that is longer than the names that it is compared with.
func tooLong(pattern string, most int) *Fault {
	if len(strings.ReplaceAll(pattern, "*", "")) > most {
		return &Fault{Cause: fmt.Sprintf("is longer than the %d bytes that are seen of a name", most), Allowed: "end it earlier, with *"}
	}
	return nil
}

func processFault(pattern string) *Fault {
	switch {
	case strings.Contains(pattern, "/"):
		return &Fault{Cause: strconv.Quote(pattern) + " is a path", Allowed: "write the name of the executable, " + pattern[strings.LastIndexByte(pattern, '/')+1:]}
	case strings.Trim(pattern, "*") == "":
		return &Fault{Cause: "leaves out every process", Allowed: "allowed the name of an executable, in which * stands for any text"}
	}
	return tooLong(pattern, maxExecutable)
}

func unitFault(pattern string) *Fault {
	suffix := pattern[strings.LastIndexByte(pattern, '*')+1:] // of which a unit has at least the end
	switch {
	case strings.Contains(pattern, "/"):
		return &Fault{Cause: strconv.Quote(pattern) + " is a path", Allowed: "write the name of the unit, as haproxy.service"}
	case strings.HasSuffix(pattern, ".slice"):
		return &Fault{Cause: pattern + " is a slice, in which no process is", Allowed: "write its services and scopes"}
	case strings.HasSuffix(suffix, ".service"), strings.HasSuffix(suffix, ".scope"):
	case suffix != pattern && (strings.HasSuffix(".service", suffix) || strings.HasSuffix(".scope", suffix)):
	default:
		return &Fault{Cause: pattern + " is neither a service nor a scope", Allowed: "write " + pattern + ".service"}
	}
	return tooLong(pattern, maxUnit)
}

func namespaceFault(pattern string) *Fault {
	if strings.Trim(pattern, "abcdefghijklmnopqrstuvwxyz0123456789-*") != "" || strings.HasPrefix(pattern, "-") || strings.HasSuffix(pattern, "-") {
		return &Fault{Cause: strconv.Quote(pattern) + " is not the name of a namespace", Allowed: "allowed lower case letters, digits and hyphens, and * for any text"}
	}
	return tooLong(pattern, maxNamespace)
}
