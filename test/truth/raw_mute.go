package main

import (
	"context"
	"errors"
	"slices"
)

// mutes are pipelines that ask for silence. Where that is refused, all that follows is answered.
func mutes() [][]string {
	pair := []string{"SET a 1", "LPUSH a x"}
	return [][]string{
		slices.Concat([]string{"CLIENT REPLY OFF"}, slices.Repeat(pair, 100)),
		slices.Concat(slices.Repeat(append([]string{"CLIENT REPLY SKIP"}, pair...), 20), []string{"GET a"}),
		{"CLIENT REPLY SKIP", "GET a"},
		{"CLIENT REPLY OFF", "CLIENT REPLY SKIP", "LPUSH a x", "CLIENT REPLY ON", "LPUSH a x", "PING"},
		{"MULTI", "CLIENT REPLY OFF", "LPUSH a x", "EXEC", "LPUSH a x", "GET a"},
	}
}

// rawMute asks a server for silence that does not know how: CLIENT has another name there.
func rawMute(_ context.Context, r *round) error {
	var all []error
	for _, requests := range mutes() {
		all = append(all, r.loosely(requests...))
	}
	return errors.Join(all...)
}

// muted asks for silence without the right to it.
func (r *round) muted() error {
	if _, err := r.admin.do("ACL SETUSER loud on >x ~* +@all -client -replconf"); err != nil {
		return err
	}
	var all []error
	for _, requests := range append(mutes(), []string{"REPLCONF ACK 1", "LPUSH a x", "GET a", "REPLCONF ACK 2"}) {
		all = append(all, r.loosely(append([]string{"AUTH loud x"}, requests...)...))
	}
	return errors.Join(all...)
}
