package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/event"
)

// likeRedis matches the paths that servers of this protocol have in practice.
var likeRedis = regexp.MustCompile(`(?i)redis|valkey|keydb|dragonfly|kvrocks|garnet`)

// unixNotes compares the configured paths of Unix sockets with the names on which sockets of this
// host listen: a path that no server bound under that name, and a name that looks like Redis's and
// is not configured.
func unixNotes(paths []event.Path, listening []string) []string {
	var notes, bound []string
	for _, path := range paths {
		if slices.ContainsFunc(listening, func(name string) bool { return address.UnixPath(name) == path.Text }) {
			continue
		}
		note := fmt.Sprintf("nothing on this host listens on %s", shown("unix:"+path.Text))
		if name := boundAs(path.Text, listening); name != "" {
			bound = append(bound, name)
			note += fmt.Sprintf("; its server bound it as %s (%s)", shown(name), rewrite(name))
		}
		notes = append(notes, note)
	}
	for _, name := range listening {
		if !isConfigured(name, paths) && !slices.Contains(bound, name) && likeRedis.MatchString(name) {
			notes = append(notes, fmt.Sprintf("a server listens on the Unix socket %s, which is not configured (%s)", shown(name), rewrite(name)))
		}
	}
	return notes
}

// isConfigured reports whether the socket of a name is observed.
func isConfigured(name string, paths []event.Path) bool {
	return slices.ContainsFunc(paths, func(path event.Path) bool { return address.UnixPath(name) == path.Text })
}

// boundAs returns the name of the socket that a path leads to, as its server bound it; "" if there
// is none. The path may have symbolic links, or the name may.
func boundAs(path string, listening []string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	for _, name := range listening {
		if there, err := filepath.EvalSymlinks(name); err == nil && there == real && filepath.IsAbs(name) {
			return name
		}
	}
	return ""
}

// rewrite returns the remedy that makes a name observed.
func rewrite(name string) string {
	if name[0] != '/' && name[0] != '@' {
		return "a relative path cannot be observed; set unixsocket of the server to an absolute path"
	}
	return "write " + shown("unix:"+name)
}

// shown returns a name for a terminal, and for YAML. Whoever binds a socket chooses its name: one
// that has control characters is quoted.
func shown(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}
