package command

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxName bounds a name in bytes. The parser cuts arguments at 64 bytes; a name of that length
// might be the head of a longer one.
const maxName = 63

// maxExtra bounds the extra commands of a configuration, and with them the cardinality of the
// label.
const maxExtra = 1024

// Table finds commands by name. It is immutable: any number of goroutines may use it.
type Table struct {
	index index
	wires []string // by ID
}

// builtin is the Table without extras.
var builtin = newTable()

// Builtin returns the table of the known commands alone.
func Builtin() *Table { return builtin }

func newTable() *Table {
	t := &Table{index: newIndex(builtins), wires: slices.Clone(wires[:])}
	for id := Other + 1; id < builtins; id++ {
		parent, name := t.split(wires[id])
		t.index.insert(parent, name, id)
	}
	return t
}

// New returns a table of the known commands, extra ones, and renamed ones (wire name to known
// name). It returns all faults, joined.
func New(extra []string, renamed map[string]string) (*Table, error) {
	t := newTable()
	var faults []error
	if len(extra) > maxExtra {
		faults = append(faults, fmt.Errorf("extra commands: must be at most %d, not %d", maxExtra, len(extra)))
		extra = nil
	}
	for _, name := range extra {
		faults = append(faults, t.add(strings.ToLower(name)))
	}
	for _, name := range slices.Sorted(maps.Keys(renamed)) {
		faults = append(faults, t.rename(strings.ToLower(name), strings.ToLower(renamed[name])))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return t, nil
}

// add gives an extra command the next ID. A command that is built in is not a fault: a newer table
// may have caught up with the configuration.
func (t *Table) add(name string) error {
	if err := validate(name); err != nil {
		return fmt.Errorf("extra command %q: %w", name, err)
	}
	if container, _, ok := strings.Cut(name, "|"); ok && t.find(container).Traits()&Container == 0 {
		return fmt.Errorf("extra command %q: %q is not a command with subcommands", name, container)
	}
	if t.find(name) != Other {
		return nil
	}
	id := ID(len(t.wires))
	t.wires = append(t.wires, name)
	parent, leaf := t.split(name)
	t.index.insert(parent, leaf, id)
	return nil
}

func (t *Table) rename(name, target string) error {
	if err := validate(name); err != nil {
		return fmt.Errorf("renamed command %q: %w", name, err)
	}
	if strings.Contains(name, "|") {
		return fmt.Errorf("renamed command %q: a subcommand cannot be renamed", name)
	}
	if t.find(name) != Other {
		return fmt.Errorf("renamed command %q: already the name of another command", name)
	}
	id := t.find(target)
	if id == Other || strings.Contains(target, "|") {
		return fmt.Errorf("renamed command %q: unknown command %q (give the name before renaming, such as get)", name, target)
	}
	t.index.insert(Other, name, id)
	return nil
}

func validate(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("must have 1 to %d bytes, not %d", maxName, len(name))
	}
	for _, c := range []byte(name) {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789_.-|:", rune(c)) {
			return fmt.Errorf("must consist of letters, digits and _ . - | :, not %q", c)
		}
	}
	if strings.Count(name, "|") > 1 || name[0] == '|' || name[len(name)-1] == '|' {
		return errors.New("must have the form container|subcommand")
	}
	return nil
}

// Lookup returns the command of a request from its first two arguments, in any case; sub is nil if
// there is only one. A container without a subcommand is a command by itself; with an unknown one
// it is Other, like an unknown command.
func (t *Table) Lookup(name, sub []byte) ID {
	id := t.index.find(Other, name)
	if sub == nil || id.Traits()&Container == 0 {
		return id
	}
	return t.index.find(id, sub)
}

// Wire returns the name of a command as sent, in lower case: "config|get".
func (t *Table) Wire(id ID) string {
	if int(id) >= len(t.wires) {
		return t.wires[Other]
	}
	return t.wires[id]
}

// Label returns the name of a command in metrics: "config_get".
func (t *Table) Label(id ID, style Style) string {
	if style == RedisPy {
		if name, ok := redisPy[id]; ok {
			return name
		}
	}
	return underscores.Replace(t.Wire(id))
}

// Labels returns the number of distinct labels that the commands have.
func (t *Table) Labels(style Style) int {
	labels := map[string]bool{}
	for id := range t.wires {
		labels[t.Label(ID(id), style)] = true
	}
	return len(labels)
}

// Count returns the number of commands, Other included: every ID is less.
func (t *Table) Count() int { return len(t.wires) }

// find returns the command of a whole wire name.
func (t *Table) find(wire string) ID {
	parent, name := t.split(wire)
	return t.index.find(parent, []byte(name))
}

// split divides a wire name into its container, Other if it has none, and the name within that.
func (t *Table) split(wire string) (ID, string) {
	container, sub, ok := strings.Cut(wire, "|")
	if !ok {
		return Other, wire
	}
	return t.index.find(Other, []byte(container)), sub
}
