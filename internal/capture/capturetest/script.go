package capturetest

import (
	"fmt"
	"strings"
)

// Command returns a request in its multibulk form.
func Command(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, word := range words {
		b.WriteString(Bulk(word))
	}
	return b.String()
}

// Bulk returns a bulk string.
func Bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }
