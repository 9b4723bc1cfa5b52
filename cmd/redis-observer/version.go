package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version and revision are those of the linker's flags (-X main.version=1.2.3), or else of Go's build
// information.
var version, revision string

func init() {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	if version == "" {
		version = moduleVersion(build)
	}
	if revision == "" {
		revision = buildRevision(build)
	}
}

// moduleVersion returns the version that `go install …@version` or a clone stamps, without the "v" of
// Go's versions.
func moduleVersion(build *debug.BuildInfo) string {
	if v := strings.TrimPrefix(build.Main.Version, "v"); v != "" && v != "(devel)" {
		return v
	}
	return "development"
}

func buildRevision(build *debug.BuildInfo) string {
	for _, setting := range build.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return "unknown"
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), versionText())
			return err
		},
	}
}

func versionText() string {
	return fmt.Sprintf("redis-observer %s (%s, %s/%s, revision %s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, revision)
}
