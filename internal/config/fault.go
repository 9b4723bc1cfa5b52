package config

import (
	"errors"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
)

// Fault is one error in a configuration.
type Fault struct {
	Path    string // path of the key, for example endpoints[0].role
	Cause   string
	Allowed string // valid values, or a remedy; may be empty
}

// Error returns the fault in one line.
func (f *Fault) Error() string {
	line := f.Cause
	if f.Path != "" {
		line = f.Path + ": " + line
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

// unknownKey reports a key that does not exist, with the closest existing key and all keys of that
// level.
func unknownKey(parent, key string) *Fault {
	allowed, path := siblings(parent), key
	if parent != rootName {
		path = parent + "." + key
	}
	hint := "allowed " + strings.Join(allowed, ", ")
	if near := nearest(key, allowed); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return &Fault{Path: path, Cause: "unknown key", Allowed: hint}
}

// nearest returns the candidate with the smallest edit distance to word, or "" if none is close.
func nearest(word string, candidates []string) string {
	best, bound := "", len(word)/3+1
	for _, candidate := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(word, candidate); d <= bound {
			best, bound = candidate, d-1
		}
	}
	return best
}

// distance returns the Levenshtein distance of two words, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
