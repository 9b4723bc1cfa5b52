package config

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// maxNodes is how many values a file may hold, what it repeats by aliases included. It is about twice what ten thousand endpoints are.
const maxNodes = 1 << 17

// Accident returns an error if the text of a file looks like that of the running configuration, interrupted: emptied, cut off, or written in part.
// What is left of a YAML file is often valid, and observes less, or nothing. Both are what a file holds, not what a variable or flag says.
func Accident(running, next []byte) error {
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

// blank says whether a text holds nothing but comments.
func blank(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// tooComplex refuses a text that would become far larger in memory than it is, before that happens. What is no YAML is left to the decoder.
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

// countNodes counts what a node stands for, and stops soon beyond maxNodes. A node that holds itself, which YAML allows, is without end.
func countNodes(node *yaml.Node, known map[*yaml.Node]int) int {
	if count, found := known[node]; found {
		return count
	}
	known[node] = maxNodes + 1 // while it is being counted
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
