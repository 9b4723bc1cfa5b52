package report

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAddressesSentence(t *testing.T) {
	one := []Unnamed{{Address: "10.0.0.9:6379", Role: "client", Connections: 1}}
	for want, a := range map[string]Addresses{
		"because": {Reason: "because", Unnamed: one},
		"connections that no endpoint has are not counted (default_name is empty); check --for 5s shows them":                                             {Uncounted: true},
		"every connection on the observed ports has a name":                                                                                               {},
		"1 connection to 1 address on observed ports has no name; an endpoint with the address gives one":                                                 {Unnamed: one},
		"4 connections to 2 addresses on observed ports have no name; an endpoint with the address gives one; the 1 with the most are shown":              {Unnamed: one, OtherUnnamed: 1, OtherConnections: 3},
		"1 connection to 1 address on observed ports has no name; an endpoint with the address gives one; 2 addresses of the configuration are not shown": {Unnamed: one, OtherNamed: 2},
	} {
		assert.Equal(t, want, a.Sentence())
	}
}

func TestAddressesSort(t *testing.T) {
	a := Addresses{Unnamed: []Unnamed{
		{Address: "b", Role: "server", Connections: 1}, {Address: "b", Role: "client", Connections: 1}, {Address: "a", Connections: 1}, {Address: "c", Connections: 2},
	}}
	a.Sort()
	order := ""
	for _, u := range a.Unnamed {
		order += u.Address + u.Role + " "
	}
	assert.Equal(t, "c a bclient bserver ", order)
}

// Lists are never null, also without anything in them.
func TestAddressesJSON(t *testing.T) {
	text, err := json.Marshal(Addresses{})
	require.NoError(t, err)
	assert.JSONEq(t, `{"sentence": "every connection on the observed ports has a name", "unnamed": [], "named": []}`, string(text))
}

func TestTarget(t *testing.T) {
	for want, n := range map[string]Named{
		"":                                 {},
		"10.0.0.1, 10.0.0.2 and 3 more":    {Resolved: []string{"10.0.0.1", "10.0.0.2"}, More: 3},
		"lookup failed: timeout":           {Error: "timeout"},
		"10.0.0.1; lookup failed: timeout": {Resolved: []string{"10.0.0.1"}, Error: "timeout"},
	} {
		assert.Equal(t, want, n.Target())
	}
}
