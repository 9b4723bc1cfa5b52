package config

import (
	"bytes"
	"fmt"

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

// tooComplex returns an error if the text would expand to too many values in memory, before it is
// decoded. It returns nil for invalid YAML, which the decoder reports.
func tooComplex(text []byte) error {
	separators := 0
	for _, c := range text {
		switch c {
		case ',', ':', '\n', '[', '{', '?':
			separators++
		}
	}
	if separators > maxNodes {
		return fmt.Errorf("the file holds more than %d values", maxNodes)
	}
	var root yaml.Node
	if yaml.Unmarshal(text, &root) != nil {
		return nil
	}
	if countNodes(&root, map[*yaml.Node]int{}) > maxNodes {
		return fmt.Errorf("the file holds more than %d values after aliases are expanded", maxNodes)
	}
	return nil
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
