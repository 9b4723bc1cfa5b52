package host

import (
	"io/fs"
	"slices"
	"strings"
)

// The flags and the type of a Unix socket in /proc/net/unix that listens for streams.
const (
	listens = "00010000" // __SO_ACCEPTCON
	stream  = "0001"
)

// UnixListeners returns the names of the Unix sockets that listen for streams, as their servers
// bound them, in each network namespace that has a visible process. An abstract name begins with @.
// root is the root directory. What cannot be read is left out.
func UnixListeners(root fs.FS) []string {
	var names []string
	seen := map[string]bool{}
	tables, _ := fs.Glob(root, "proc/[0-9]*/net/unix")
	for _, table := range append([]string{"proc/net/unix"}, tables...) {
		namespace, err := fs.ReadLink(root, strings.TrimSuffix(table, "net/unix")+"ns/net")
		if err == nil && seen[namespace] {
			continue
		}
		seen[namespace] = true
		if text, err := fs.ReadFile(root, table); err == nil {
			names = append(names, unixListeners(string(text))...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// unixListeners returns those of one table. Its columns are address, references, protocol, flags,
// type, state, inode and name.
func unixListeners(table string) []string {
	var names []string
	for line := range strings.Lines(table) {
		columns := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 7)
		if len(columns) < 7 || columns[3] != listens || columns[4] != stream {
			continue
		}
		if _, name, found := strings.Cut(strings.TrimLeft(columns[6], " "), " "); found && name != "" {
			names = append(names, name)
		}
	}
	return names
}
