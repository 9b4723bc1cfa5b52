package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// platform is an operating system and architecture in the words of Go.
type platform struct{ os, arch string }

// linux observes; the others only replay captures.
var (
	linux     = []platform{{"linux", "amd64"}, {"linux", "arm64"}}
	platforms = append(linux[:2:2], platform{"darwin", "amd64"}, platform{"darwin", "arm64"}, platform{"windows", "amd64"})
)

func (p platform) String() string { return p.os + "_" + p.arch }

// program returns the name of the program on the platform.
func (p platform) program() string {
	if p.os == "windows" {
		return "redis-observer.exe"
	}
	return "redis-observer"
}

// binary returns the path of the program of a platform.
func (r *release) binary(p platform) string {
	return filepath.Join(r.work, p.String(), p.program())
}

// buildBinaries builds static programs. -buildvcs=false: Go does not stamp work trees, so the stamp would depend on the kind of clone.
func (r *release) buildBinaries() error {
	flags := fmt.Sprintf("-s -w -X main.version=%s -X main.revision=%s", r.version, r.revision)
	for _, p := range platforms {
		if err := r.goRun(p, "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", r.binary(p), "./cmd/redis-observer"); err != nil {
			return err
		}
	}
	return nil
}

// goRun runs the go command in the repository for a platform.
func (r *release) goRun(p platform, arguments ...string) error {
	command := exec.Command("go", arguments...)
	command.Dir, command.Env, command.Stderr = r.root, environment(p), os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("go %s for %s: %w", arguments[0], p, err)
	}
	return nil
}

// environment is that of a build for a platform: settings of the user that would change the result are replaced.
func environment(p platform) []string {
	return append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch, "GOFLAGS=-mod=readonly",
		"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOWORK=off")
}
