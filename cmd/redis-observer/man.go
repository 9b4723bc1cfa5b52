//go:build man

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommands are the commands of a build with the tag man, which prints the manual pages of the
// others. The shipped binary has none of them, nor the library that makes the pages.
func manCommands(root *cobra.Command) []*cobra.Command {
	return []*cobra.Command{{
		Use:    "man DIRECTORY",
		Short:  "Write the manual pages of all commands",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("make directory: %w", err)
			}
			root.DisableAutoGenTag = true // has the date
			root.InitDefaultCompletionCmd()
			return doc.GenManTree(root, &doc.GenManHeader{Section: "8", Source: "redis-observer " + version, Manual: "redis-observer"}, args[0])
		},
	}}
}
