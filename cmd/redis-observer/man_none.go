//go:build !man

package main

import "github.com/spf13/cobra"

func manCommands(*cobra.Command) []*cobra.Command { return nil }
