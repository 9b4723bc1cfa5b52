package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/naming"
)

// answer says which name an address has at each end of its connections. Its JSON form is part of
// the interface of check.
type answer struct {
	Address string      `json:"address"`
	Ends    []answerEnd `json:"ends"`
}

type answerEnd struct {
	End    string `json:"end"`    // client: connections to the address; server: connections accepted at it
	Name   string `json:"name"`   // "" if it is not counted at this end
	Reason string `json:"reason"` // with the address of the configuration that decides
}

// nameOf answers for one address, or for each address of a host name.
func (p program) nameOf(ctx context.Context, u *understanding, text string) ([]answer, error) {
	a, err := address.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("name of %s: %w", text, err)
	}
	addresses := []netip.Addr{a.Prefix.Addr()}
	switch {
	case a.Path != "":
		return []answer{u.answer(text, func(role event.Role) naming.Match { return u.names.ExplainPath(role, a.Path) })}, nil
	case a.Host != "" && a.Ports.Single():
		if addresses, err = p.resolver.LookupNetIP(ctx, "ip", a.Host); err != nil {
			return nil, fmt.Errorf("name of %s: %w (give an IP address)", text, err)
		}
	case !a.Prefix.IsSingleIP() || !a.Ports.Single():
		return nil, fmt.Errorf("name of %s: it is not one address (give an IP address and a port, as in 10.0.0.10:6379, or unix:/path)", text)
	}
	var answers []answer
	for _, one := range addresses {
		server := netip.AddrPortFrom(one.Unmap().WithZone(""), a.Ports.First)
		answers = append(answers, u.answer(server.String(), func(role event.Role) naming.Match { return u.names.Explain(role, server) }))
	}
	return answers, nil
}

func (u understanding) answer(server string, explain func(event.Role) naming.Match) answer {
	of := answer{Address: server}
	for _, role := range []event.Role{event.Client, event.Server} {
		match := explain(role)
		of.Ends = append(of.Ends, answerEnd{roleName(role), match.Name, u.because(match)})
	}
	return of
}

func writeAnswers(w io.Writer, answers []answer) {
	for _, a := range answers {
		for _, end := range a.Ends {
			name := end.Name
			if name == "" {
				name = "not counted"
			}
			fmt.Fprintf(w, "%s\tat the %s end\t%s\t%s\n", a.Address, end.End, name, end.Reason)
		}
	}
}
