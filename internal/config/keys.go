package config

import (
	"reflect"
	"strings"
)

// rootName is the name of the root structure in errors of mapstructure.
const rootName = "config.Config"

// delimiter separates the levels of a key inside viper. It is not a dot, because renamed_commands
// has command names as keys, which may contain dots (JSON.GET).
const delimiter = "::"

// leafKeys returns all keys that hold a value, in the notation of viper.
func leafKeys() []string {
	var keys []string
	var walk func(prefix string, structure reflect.Type)
	walk = func(prefix string, structure reflect.Type) {
		for field := range structure.Fields() {
			key := prefix + field.Tag.Get("mapstructure")
			if field.Type.Kind() == reflect.Struct {
				walk(key+delimiter, field.Type)
				continue
			}
			keys = append(keys, key)
		}
	}
	walk("", reflect.TypeFor[Config]())
	return keys
}

// Variable returns the environment variable of a key of the file, for example
// REDIS_OBSERVER_CAPTURE_BACKEND for capture.backend.
func Variable(key string) string {
	return prefix + strings.ToUpper(strings.NewReplacer(delimiter, "_", ".", "_").Replace(key))
}

// siblings returns the valid keys below a path such as "capture" or "endpoints[2]".
func siblings(parent string) []string {
	structure := reflect.TypeFor[Config]()
	if parent != rootName {
		for part := range strings.SplitSeq(parent, ".") {
			name, _, _ := strings.Cut(part, "[")
			structure = fieldType(structure, name)
		}
	}
	var keys []string
	if structure.Kind() == reflect.Struct {
		for field := range structure.Fields() {
			keys = append(keys, field.Tag.Get("mapstructure"))
		}
	}
	return keys
}

// fieldType returns the type of a field by its key; for a list, the type of its elements.
func fieldType(structure reflect.Type, key string) reflect.Type {
	for field := range structure.Fields() {
		if !strings.EqualFold(field.Tag.Get("mapstructure"), key) {
			continue
		}
		if field.Type.Kind() == reflect.Slice {
			return field.Type.Elem()
		}
		return field.Type
	}
	return structure
}
