package config

import (
	"reflect"
	"strings"
)

// rootName is what mapstructure calls the structure itself.
const rootName = "config.Config"

// delimiter parts the levels of a key inside viper. Not a dot, because names of commands (JSON.GET) are keys of renamed_commands.
const delimiter = "::"

// leafKeys returns every key that has a value of its own, in viper's notation.
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

// Variable returns the environment variable of a key, given as in the file: capture.backend → REDIS_OBSERVER_CAPTURE_BACKEND.
func Variable(key string) string {
	return "REDIS_OBSERVER_" + strings.ToUpper(strings.NewReplacer(delimiter, "_", ".", "_").Replace(key))
}

// siblings returns the keys that may stand under a path such as "capture" or "endpoints[2]".
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

// fieldType returns the type of a field by its key, of its elements where it is a list.
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
