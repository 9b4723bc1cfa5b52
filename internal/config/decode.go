package config

import (
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/spelling"
)

var headersType = reflect.TypeFor[Headers]()

// decodeHook converts the values of YAML, the environment and flags to the types of Config. Weak
// typing is off, because it silently converts true to 1 and any value to a list; so texts of the
// environment are parsed here, by target type.
func decodeHook(from, to reflect.Type, data any) (any, error) {
	text, isText := data.(string)
	switch to {
	case reflect.TypeFor[Size]():
		return decodeSize(from, data)
	case reflect.TypeFor[time.Duration]():
		return decodeDuration(from, data)
	}
	if !isText {
		return data, typeMismatch(from, to)
	}
	switch to {
	case reflect.TypeFor[address.Address]():
		return decodeAddress(text)
	case reflect.TypeFor[address.Role]():
		return decodeRole(text)
	case reflect.TypeFor[slog.Level]():
		return decodeLevel(text)
	case headersType:
		return decodeHeaders(text)
	}
	return decodeText(text, to)
}

// typeMismatch rejects values that mapstructure would convert, or report with Go types.
func typeMismatch(from, to reflect.Type) error {
	got, want := kindName(from), kindName(to)
	switch {
	case to == reflect.TypeFor[address.Address]():
		want = "text"
	case to == reflect.TypeFor[address.Role](), to == reflect.TypeFor[slog.Level]():
		want = "text"
	}
	if got == want || got == "a whole number" && want == "a number" {
		return nil
	}
	return &Fault{Cause: "must be " + want + ", not " + got}
}

// kindName names a type in YAML terms.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "a map"
	default:
		return "a whole number"
	}
}

func decodeSize(from reflect.Type, data any) (any, error) {
	const allowed = "allowed a size such as 64KiB or 16MiB"
	switch value := data.(type) {
	case string:
		size, err := ParseSize(value)
		if err != nil {
			return nil, &Fault{Cause: err.Error(), Allowed: allowed}
		}
		return size, nil
	case int:
		if value >= 0 {
			return Size(value), nil
		}
		return nil, &Fault{Cause: strconv.Itoa(value) + " is negative", Allowed: allowed}
	}
	return nil, &Fault{Cause: "must be a size, not " + kindName(from), Allowed: allowed}
}

func decodeDuration(from reflect.Type, data any) (any, error) {
	const allowed = "allowed a duration such as 5ms or 30s"
	text, isText := data.(string)
	if !isText {
		cause := "must be a duration, not " + kindName(from)
		if kindName(from) == "a whole number" {
			cause = "has no unit"
		}
		return nil, &Fault{Cause: cause, Allowed: allowed}
	}
	duration, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil {
		return nil, &Fault{Cause: strconv.Quote(text) + " is not a duration", Allowed: allowed}
	}
	return duration, nil
}

func decodeAddress(text string) (any, error) {
	a, err := address.Parse(text)
	var wrong *address.Error
	if errors.As(err, &wrong) {
		return nil, &Fault{Cause: wrong.Cause, Allowed: wrong.Allowed}
	}
	return a, err
}

func decodeRole(text string) (any, error) {
	if role := slices.Index(address.Roles, text); role >= 0 {
		return address.Role(role), nil
	}
	return nil, unknownValue(text, address.Roles...)
}

func decodeLevel(text string) (any, error) {
	switch strings.ToLower(text) {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return nil, unknownValue(text, "debug", "info", "warn", "error")
}

// decodeText parses the text of an environment variable for a key that is not text: a scalar in
// YAML, a list in YAML or separated by commas, or a map in YAML on one line.
func decodeText(text string, to reflect.Type) (any, error) {
	switch to.Kind() {
	case reflect.String:
		return text, nil
	case reflect.Slice:
		if trimmed := strings.TrimSpace(text); trimmed != "" && !strings.HasPrefix(trimmed, "[") {
			text = "[" + text + "]"
		}
	}
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return nil, &Fault{Cause: "must be " + kindName(to) + " in YAML, not " + strconv.Quote(text)}
	}
	if value == nil {
		return reflect.Zero(to).Interface(), nil
	}
	if err := typeMismatch(reflect.TypeOf(value), to); err != nil {
		return nil, &Fault{Cause: "must be " + kindName(to) + ", not " + strconv.Quote(text), Allowed: inSeconds(text, to)}
	}
	return value, nil
}

// inSeconds returns the remedy for a duration where a number is allowed; all such numbers are
// seconds.
func inSeconds(text string, to reflect.Type) string {
	duration, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil || to.Kind() != reflect.Float64 {
		return ""
	}
	return "write " + strconv.FormatFloat(duration.Seconds(), 'g', -1, 64) + ", in seconds"
}

func unknownValue(value string, allowed ...string) *Fault {
	hint := "allowed " + strings.Join(allowed, ", ")
	if near := spelling.Nearest(strings.ToLower(value), allowed); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return &Fault{Cause: "unknown value " + strconv.Quote(value), Allowed: hint}
}
