package config

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// origin says where the values of a configuration stand.
type origin struct {
	Loader
	root *yaml.Node // nil for an empty file
}

// Where returns where the value of a key stands, for example observer.yaml:3:5, REDIS_OBSERVER_PORTS
// or --ports. text is the text of the file, which must be valid YAML.
func (l Loader) Where(text []byte, path string) string {
	root, err := parseText(text)
	if err != nil {
		return l.Path
	}
	return origin{l, root}.of(path, false)
}

// locate adds the position to the faults in an error.
func (o origin) locate(err error) error {
	for _, fault := range Faults(err) {
		switch {
		case fault.At == "":
			fault.At = o.of(fault.Path, fault.Cause == unknownKeyCause)
		case o.Path != "":
			fault.At = o.Path + ":" + fault.At // from parseText
		}
	}
	return err
}

// of returns the position of a key's value, or of the key. For a key that is not in the file it is that of the
// innermost value around it.
func (o origin) of(path string, ofKey bool) string {
	leaf := leafOf(path)
	for name, key := range flagKeys {
		if key == leaf && o.Flags != nil && o.Flags.Changed(name) {
			return "--" + name
		}
	}
	if leaf != "" && os.Getenv(Variable(leaf)) != "" {
		return Variable(leaf)
	}
	if variable, value := standard(leaf); value != "" {
		return variable
	}
	if o.root == nil {
		return o.Path
	}
	key, value := descend(o.root, path)
	switch {
	case value == o.root || o.Path == "":
		return o.Path
	case key != nil && (ofKey || value.Kind != yaml.ScalarNode): // a value of several lines begins behind its key
		return o.Path + ":" + positionOf(key)
	}
	return o.Path + ":" + positionOf(value)
}

func positionOf(node *yaml.Node) string { return fmt.Sprintf("%d:%d", node.Line, node.Column) }

// leafOf returns the key, in the notation of viper, that a path is or is inside of; "" if there is
// none.
func leafOf(path string) string {
	for _, key := range leafKeys() {
		dotted := strings.ReplaceAll(key, delimiter, ".")
		if rest, found := strings.CutPrefix(strings.ToLower(path), dotted); found && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return key
		}
	}
	return ""
}

// descend returns the value of a path such as endpoints[0].role, or the innermost one around it,
// and its key; nil for an element of a list.
func descend(node *yaml.Node, path string) (key, value *yaml.Node) {
	for {
		if node.Alias != nil {
			node = node.Alias
		}
		inner, rest := element(node, path)
		if inner == nil {
			if inner, rest = field(node, path); inner == nil {
				return key, node
			}
			key, inner = inner, valueOf(node, inner)
		} else {
			key = nil
		}
		node, path = inner, rest
	}
}

// element returns the element of a list at the start of a path, and the rest of the path.
func element(list *yaml.Node, path string) (inner *yaml.Node, rest string) {
	var index int
	if _, err := fmt.Sscanf(path, "[%d]", &index); err != nil || list.Kind != yaml.SequenceNode || index >= len(list.Content) {
		return nil, ""
	}
	_, rest, _ = strings.Cut(path, "]")
	return list.Content[index], strings.TrimPrefix(rest, ".")
}

// field returns the key of a map at the start of a path, and the rest of the path. Keys can have
// dots.
func field(node *yaml.Node, path string) (key *yaml.Node, rest string) {
	if node.Kind != yaml.MappingNode {
		return nil, ""
	}
	for i := 0; i < len(node.Content); i += 2 {
		rest, found := cutFold(path, node.Content[i].Value)
		if found && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return node.Content[i], strings.TrimPrefix(rest, ".")
		}
	}
	return nil, ""
}

func valueOf(node, key *yaml.Node) *yaml.Node {
	return node.Content[slices.Index(node.Content, key)+1]
}

// cutFold is strings.CutPrefix without regard to upper and lower case, for viper has none.
func cutFold(text, prefix string) (rest string, found bool) {
	if len(text) < len(prefix) || !strings.EqualFold(text[:len(prefix)], prefix) {
		return text, false
	}
	return text[len(prefix):], true
}
