package config

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// schema is what matters of the JSON schema of the chart's values.
type schema struct {
	Properties           map[string]*schema
	Items                *schema
	AdditionalProperties any
}

// The chart refuses a misspelt key before anything is installed, so it has to know all keys.
func TestChartKnowsEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../deploy/helm/redis-observer/values.schema.json")
	require.NoError(t, err)
	var values schema
	require.NoError(t, json.Unmarshal(text, &values))
	assertKeys(t, "config", values.Properties["config"], reflect.TypeFor[Config]())
}

func assertKeys(t *testing.T, path string, s *schema, structure reflect.Type) {
	t.Helper()
	require.NotNil(t, s, path)
	assert.Equal(t, false, s.AdditionalProperties, "%s takes other keys", path)
	var want, got []string
	for field := range structure.Fields() {
		key := field.Tag.Get("mapstructure")
		want = append(want, key)
		at, kind := path+"."+key, field.Type
		property := s.Properties[key]
		if !assert.NotNil(t, property, "%s is not in deploy/helm/redis-observer/values.schema.json", at) {
			continue
		}
		if kind.Kind() == reflect.Slice && property.Items != nil {
			at, kind, property = at+"[]", kind.Elem(), property.Items
		}
		if kind.Kind() == reflect.Struct && property.Properties != nil {
			assertKeys(t, at, property, kind)
		}
	}
	for key := range s.Properties {
		got = append(got, key)
	}
	slices.Sort(want)
	slices.Sort(got)
	assert.Equal(t, want, got, path)
}
