package top

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redis-observer/redis-observer/internal/report"
)

// Addresses holds the addresses of all observers. Its JSON form is part of the interface of the
// program.
type Addresses struct {
	Sentences map[string]string `json:"nodes"`   // what each has, or why it shows none, by its name
	Unnamed   []report.Unnamed  `json:"unnamed"` // those with the most connections first
	Named     []report.Named    `json:"named"`   // by observer, in the order of its configuration
}

// add adds the addresses of an observer.
func (a *Addresses) add(node string, v report.Addresses) {
	a.Sentences[node] = v.Sentence()
	for _, u := range v.Unnamed {
		u.Node = node
		a.Unnamed = append(a.Unnamed, u)
	}
	for _, n := range v.Named {
		n.Node = node
		a.Named = append(a.Named, n)
	}
}

// sort orders the addresses of all observers.
func (a *Addresses) sort() {
	all := report.Addresses{Unnamed: a.Unnamed}
	all.Sort()
	slices.SortStableFunc(a.Named, func(x, y report.Named) int { return strings.Compare(x.Node, y.Node) })
}

// place is an address of either kind.
type place struct {
	unnamed bool
	report.Unnamed
	name, target string
	failed       bool
}

// rows returns the addresses, those without a name first.
func (a *Addresses) rows() []place {
	var rows []place
	for _, u := range a.Unnamed {
		rows = append(rows, place{unnamed: true, Unnamed: u, name: "no name"})
	}
	for i := range a.Named {
		n := &a.Named[i]
		rows = append(rows, place{Unnamed: report.Unnamed{Node: n.Node, Address: n.Address, Role: n.Role}, name: n.Name, target: n.Target(), failed: n.Error != ""})
	}
	return rows
}

// placeFields are the columns of addresses, in their order.
var placeFields = []field[place]{
	{title: "NODE", rank: 1, text: func(p *place) string { return p.Node }},
	{title: "NAME", text: func(p *place) string { return p.name }, bad: func(p *place) bool { return p.unnamed }},
	{title: "ADDRESS", text: func(p *place) string { return p.Address }},
	{title: "END", rank: 4, text: func(p *place) string { return p.Role }},
	{title: "CONNECTIONS", right: true, rank: 2, text: func(p *place) string {
		if p.unnamed {
			return fmt.Sprint(p.Connections)
		}
		return ""
	}},
	{title: "RESOLVES TO", rank: 5, text: func(p *place) string { return p.target }, bad: func(p *place) bool { return p.failed }},
	{title: "PROCESSES", rank: 3, text: func(p *place) string { return p.Processes() }},
}

// Addresses returns the table of addresses, below what each observer says of them.
func (s *Screen) Addresses(all Addresses) string {
	lines := s.sentences(all.Sentences, 4)
	h := sheet[place]{placeFields, len(all.Sentences) > 1, "", all.rows()}
	return strings.Join(append(lines, h.draw(s, s.Offset, s.left(lines))...), "\n")
}
