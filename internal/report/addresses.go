package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Limits of Addresses, because others choose what there is.
const (
	MaxNamed    = 500 // addresses of the configuration
	MaxUnnamed  = 100
	MaxResolved = 16 // of an address of the configuration
)

// Addresses is what there is to show of the addresses that an observer observes. Its JSON form is part
// of the interface of the program.
type Addresses struct {
	Reason           string    // why there is nothing to show; the other fields are empty then
	Uncounted        bool      // connections without a name are not counted, so there is nothing to say of them
	Named            []Named   // in the order of the configuration
	Unnamed          []Unnamed // those with the most connections first
	OtherNamed       int       // addresses of the configuration that are not listed
	OtherUnnamed     int       // addresses without a name that are not listed
	OtherConnections int       // the connections of those
}

// Named is an address of the configuration.
type Named struct {
	Node     string   `json:"node,omitempty"` // address of the observer; set by who asks several
	Name     string   `json:"name,omitempty"` // "" only for role ignore
	Role     string   `json:"role"`           // client, server or ignore
	Address  string   `json:"address"`
	Resolved []string `json:"resolved,omitempty"` // addresses of a host name; with ports those of SRV records and of a Service
	More     int      `json:"more,omitempty"`     // those that are not listed
	Error    string   `json:"error,omitempty"`    // of the last lookup
}

// Unnamed is the address of a server that no endpoint has, on an observed port.
type Unnamed struct {
	Node        string   `json:"node,omitempty"`        // address of the observer; set by who asks several
	Address     string   `json:"address"`               // with the port
	Role        string   `json:"role"`                  // of the observed end: client or server
	Connections int      `json:"connections"`           // now
	Executables []string `json:"executables,omitempty"` // of the observed ends, where the configuration needs owners
}

// Target says what the address of a configuration stands for by now.
func (n *Named) Target() string {
	text := strings.Join(n.Resolved, ", ")
	if n.More > 0 {
		text += fmt.Sprintf(" and %d more", n.More)
	}
	if n.Error != "" {
		if text != "" {
			text += "; "
		}
		text += "lookup failed: " + n.Error
	}
	return text
}

// Processes returns the executables as text.
func (u *Unnamed) Processes() string { return strings.Join(u.Executables, " ") }

// Sort orders addresses without a name: by connections, then by address.
func (a *Addresses) Sort() {
	slices.SortStableFunc(a.Unnamed, func(x, y Unnamed) int {
		return cmp.Or(cmp.Compare(y.Connections, x.Connections), cmp.Compare(x.Address, y.Address), cmp.Compare(x.Role, y.Role), cmp.Compare(x.Node, y.Node))
	})
}

// Sentence says how many connections have no name, or why that is not shown.
func (a *Addresses) Sentence() string {
	connections := a.OtherConnections
	for i := range a.Unnamed {
		connections += a.Unnamed[i].Connections
	}
	var text string
	switch {
	case a.Reason != "":
		return a.Reason
	case a.Uncounted:
		text = "connections that no endpoint has are not counted (default_name is empty); check --for 5s shows them"
	case connections == 0:
		text = "every connection on the observed ports has a name"
	default:
		has := "have"
		if connections == 1 {
			has = "has"
		}
		text = fmt.Sprintf("%s to %s on observed ports %s no name; an endpoint with the address gives one", plural(connections, "connection", "connections"), plural(len(a.Unnamed)+a.OtherUnnamed, "address", "addresses"), has)
		if a.OtherUnnamed > 0 {
			text += fmt.Sprintf("; the %d with the most are shown", len(a.Unnamed))
		}
	}
	if a.OtherNamed > 0 {
		text += fmt.Sprintf("; %s not shown", plural(a.OtherNamed, "address of the configuration is", "addresses of the configuration are"))
	}
	return text
}

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprint(n, " ", one)
	}
	return fmt.Sprint(n, " ", many)
}

// addressesJSON is the form of Addresses.
type addressesJSON struct {
	Reason           string    `json:"reason,omitempty"`
	Sentence         string    `json:"sentence"`
	Uncounted        bool      `json:"uncounted,omitempty"`
	Unnamed          []Unnamed `json:"unnamed"`
	OtherUnnamed     int       `json:"other_unnamed,omitempty"`
	OtherConnections int       `json:"other_connections,omitempty"`
	Named            []Named   `json:"named"`
	OtherNamed       int       `json:"other_named,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (a Addresses) MarshalJSON() ([]byte, error) {
	form := addressesJSON{a.Reason, a.Sentence(), a.Uncounted, a.Unnamed, a.OtherUnnamed, a.OtherConnections, a.Named, a.OtherNamed}
	if form.Unnamed == nil {
		form.Unnamed = []Unnamed{}
	}
	if form.Named == nil {
		form.Named = []Named{}
	}
	return json.Marshal(form)
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *Addresses) UnmarshalJSON(text []byte) error {
	var form addressesJSON
	if err := json.Unmarshal(text, &form); err != nil {
		return err
	}
	*a = Addresses{form.Reason, form.Uncounted, form.Named, form.Unnamed, form.OtherNamed, form.OtherUnnamed, form.OtherConnections}
	return nil
}
