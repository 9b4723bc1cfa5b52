package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes limits the values of a file after its aliases are expanded. It is about twice what
// 10,000 endpoints need.
const maxNodes = 1 << 17

// CheckTruncated returns an error if the next text of a file looks like the running one after an
// interrupted write: emptied, cut off, or written in part. The rest of a YAML file is often valid,
// but observes less. Only texts of the file are compared, not variables or flags.
func CheckTruncated(running, next []byte) error {
	end := bytes.TrimRight(next, " \t\r\n")
	lost := bytes.TrimPrefix(running, end)
	switch {
	case bytes.Equal(running, next), blank(running) && blank(next):
		return nil
	case blank(next) && !blank(running):
		return fmt.Errorf("the file has become empty (if this is intended, write {} into it)")
	case bytes.HasPrefix(running, end) && !blank(lost) && !bytes.HasSuffix(end, []byte("\n...")):
		return fmt.Errorf("the file is cut off after %d of its previous %d bytes (if this is intended, end it with a line ...)", len(end), len(running))
	case bytes.HasSuffix(running, []byte("\n")) && !bytes.HasSuffix(next, []byte("\n")):
		return fmt.Errorf("the last line of the file has lost its line break (if the file is complete, add a line break)")
	}
	return nil
}

// blank reports whether a text contains only comments and white space.
func blank(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// parseText returns the tree of a text, nil for an empty one, and its faults. With an error that
// makes the text meaningless the tree is nil. It runs before the text is decoded, because a small text can expand to very
// many values in memory.
func parseText(text []byte) (*yaml.Node, error) {
	separators := 0
	for _, c := range text {
		switch c {
		case ',', ':', '\n', '[', '{', '?':
			separators++
		}
	}
	if separators > maxNodes {
		return nil, fmt.Errorf("the file holds more than %d values", maxNodes)
	}
	root, second := onlyDocument(text)
	if root == nil {
		return nil, second
	}
	if countNodes(root, map[*yaml.Node]int{}) > maxNodes {
		return nil, fmt.Errorf("the file holds more than %d values after aliases are expanded", maxNodes)
	}
	if root.Kind != yaml.MappingNode && root.Tag != "!!null" {
		return nil, &Fault{At: positionOf(root), Cause: "the file must be a map of keys, not " + nodeName(root), Allowed: "write `key: value` lines, as in config.example.yaml"}
	}
	if repeated := repeatedKeys(root); len(repeated) > 0 {
		return nil, errors.Join(append(repeated, second)...)
	}
	return root, second
}

// onlyDocument returns the first document of a text. A further one would be ignored, so it is a
// fault.
func onlyDocument(text []byte) (*yaml.Node, error) {
	var first, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, syntaxFault(text, err)
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, syntaxFault(text, err)
	case second.Content[0].Tag != "!!null":
		return first.Content[0], &Fault{At: positionOf(second.Content[0]), Cause: "a second YAML document begins", Allowed: "keep one: remove the line --- above"}
	}
	return first.Content[0], nil
}

// syntaxFault converts an error of the YAML parser, which has a line at most.
func syntaxFault(text []byte, err error) *Fault {
	cause, at := strings.TrimPrefix(err.Error(), "yaml: "), "1"
	if rest, found := strings.CutPrefix(cause, "line "); found {
		at, cause, _ = strings.Cut(rest, ": ")
	}
	row := 0
	for line := range strings.Lines(string(text)) {
		row++
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 && strings.TrimSpace(line) != "" {
			return &Fault{At: fmt.Sprintf("%d:%d", row, tab+1), Cause: "the line is indented with a tab", Allowed: "YAML allows only spaces"}
		}
	}
	return &Fault{At: at, Cause: "not valid YAML: " + cause}
}

// repeatedKeys returns a fault for each key that a map has twice. Upper and lower case are equal.
func repeatedKeys(node *yaml.Node) []error {
	var faults []error
	if node.Kind == yaml.MappingNode {
		first := map[string]*yaml.Node{}
		for i := 0; i < len(node.Content); i += 2 {
			key := node.Content[i]
			name := strings.ToLower(key.Value)
			if earlier := first[name]; earlier != nil {
				faults = append(faults, &Fault{At: positionOf(key), Path: key.Value, Cause: fmt.Sprintf("the same key stands in line %d", earlier.Line), Allowed: "remove one of them"})
				continue
			}
			first[name] = key
		}
	}
	for _, inner := range node.Content {
		faults = append(faults, repeatedKeys(inner)...)
	}
	return faults
}

// nodeName names the kind of a node in YAML terms.
func nodeName(node *yaml.Node) string {
	switch node.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return strconv.Quote(node.Value)
	default:
		return "an alias"
	}
}

// countNodes counts the values that a node expands to, and stops soon after maxNodes. YAML allows a
// node that contains itself, which expands without end.
func countNodes(node *yaml.Node, known map[*yaml.Node]int) int {
	if count, found := known[node]; found {
		return count
	}
	known[node] = maxNodes + 1 // in case the node contains itself
	count := 1
	if node.Alias != nil {
		count += countNodes(node.Alias, known)
	}
	for _, inner := range node.Content {
		if count <= maxNodes {
			count += countNodes(inner, known)
		}
	}
	known[node] = count
	return count
}
