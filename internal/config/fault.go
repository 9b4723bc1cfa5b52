package config

import (
	"errors"
	"strings"

	"github.com/go-viper/mapstructure/v2"

	"github.com/redis-observer/redis-observer/internal/spelling"
)

// Fault is one error in a configuration.
type Fault struct {
	At      string // where the value stands: file:line:column, a variable or a flag; may be empty
	Path    string // path of the key, for example endpoints[0].role; may be empty
	Cause   string
	Allowed string // valid values, or a remedy; may be empty
}

// Error returns the fault in one line.
func (f *Fault) Error() string {
	line := f.Cause
	if f.Path != "" {
		line = f.Path + ": " + line
	}
	if f.At != "" {
		line = f.At + ": " + line
	}
	if f.Allowed != "" {
		line += " (" + f.Allowed + ")"
	}
	return line
}

// Faults returns the faults in an error of Load, or nil if the error is of another kind.
func Faults(err error) []*Fault {
	var faults []*Fault
	for _, leaf := range leaves(err) {
		var fault *Fault
		if errors.As(leaf, &fault) {
			faults = append(faults, fault)
		}
	}
	return faults
}

// decodeFaults converts the errors of mapstructure to faults.
func decodeFaults(err error) []error {
	var faults []error
	for _, leaf := range leaves(err) {
		var at *mapstructure.DecodeError
		if !errors.As(leaf, &at) {
			faults = append(faults, leaf)
			continue
		}
		if keys, unknown := strings.CutPrefix(at.Unwrap().Error(), "has invalid keys: "); unknown {
			for key := range strings.SplitSeq(keys, ", ") {
				faults = append(faults, unknownKey(at.Name(), key))
			}
			continue
		}
		faults = append(faults, typeFault(at))
	}
	return faults
}

// typeFault adds the path to the fault of a value that could not be decoded.
func typeFault(at *mapstructure.DecodeError) *Fault {
	var fault *Fault
	if errors.As(at, &fault) {
		return &Fault{Path: at.Name(), Cause: fault.Cause, Allowed: fault.Allowed}
	}
	return &Fault{Path: at.Name(), Cause: at.Unwrap().Error()}
}

// leaves flattens joined errors.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	joined, many := err.(interface{ Unwrap() []error })
	if !many {
		var inner interface{ Unwrap() []error }
		if errors.As(err, &inner) {
			return leaves(inner.(error))
		}
		return []error{err}
	}
	var all []error
	for _, inner := range joined.Unwrap() {
		all = append(all, leaves(inner)...)
	}
	return all
}

const unknownKeyCause = "unknown key"

// unknownKey reports a key that does not exist, with the closest existing key and all keys of that
// level.
func unknownKey(parent, key string) *Fault {
	allowed, path := siblings(parent), key
	if parent != rootName {
		path = parent + "." + key
	}
	hint := "allowed " + strings.Join(allowed, ", ")
	if near := spelling.Nearest(key, allowed); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return &Fault{Path: path, Cause: unknownKeyCause, Allowed: hint}
}
