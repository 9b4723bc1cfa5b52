package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

const chartFolder = "deploy/helm/redis-observer"

// source is the commit that a release is built from.
type source struct {
	version  string    // semantic version without "v", as `go install` finds it: of the tag, or a pseudo-version
	revision string    // commit, with "-dirty" if files were changed since
	time     time.Time // of the commit, in UTC
}

// readSource asks git. A tag must be the version that the chart names, so that no release has two versions.
func readSource(root string) (source, error) {
	git := func(arguments ...string) (string, error) {
		output, err := exec.Command("git", append([]string{"-C", root}, arguments...)...).Output()
		if err != nil {
			return "", fmt.Errorf("git %s: %w (a release is built from a clone)", arguments[0], err)
		}
		return strings.TrimSpace(string(output)), nil
	}
	var s source
	var err error
	if s.revision, err = git("rev-parse", "HEAD"); err != nil {
		return s, err
	}
	seconds, err := git("log", "-1", "--format=%ct")
	if err != nil {
		return s, err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return s, fmt.Errorf("read time of commit: %w", err)
	}
	s.time = time.Unix(unix, 0).UTC()
	tags, err := git("tag", "--points-at", "HEAD", "--list", "v*")
	if err != nil {
		return s, err
	}
	if s.version, err = versionOf(strings.Fields(tags), s.time, s.revision); err != nil {
		return s, err
	}
	if err := checkChart(root, s.version); err != nil {
		return s, err
	}
	changed, err := git("status", "--porcelain", "--untracked-files=no")
	if changed != "" {
		s.version += "+dirty"
		s.revision += "-dirty"
	}
	return s, err
}

// versionOf returns the greatest version of the tags, or the pseudo-version of a commit without one.
func versionOf(tags []string, committed time.Time, revision string) (string, error) {
	semver.Sort(tags)
	if len(tags) == 0 {
		return strings.TrimPrefix(module.PseudoVersion("v0", "", committed, revision[:12]), "v"), nil
	}
	tag := tags[len(tags)-1]
	if !semver.IsValid(tag) || semver.Canonical(tag) != tag {
		return "", fmt.Errorf("tag %s is no semantic version (expected for example v0.1.0)", tag)
	}
	return strings.TrimPrefix(tag, "v"), nil
}

// checkChart returns an error if the version is a tag's and not the one that the chart was prepared for.
func checkChart(root, version string) error {
	if module.IsPseudoVersion("v" + version) {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(root, chartFolder, "Chart.yaml"))
	if err != nil {
		return err
	}
	var chart struct {
		Version    string
		AppVersion string `yaml:"appVersion"`
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		return fmt.Errorf("read Chart.yaml: %w", err)
	}
	if chart.Version != version || chart.AppVersion != version {
		return fmt.Errorf("tag v%s, but Chart.yaml has version %s and appVersion %s (see docs/releasing.md)", version, chart.Version, chart.AppVersion)
	}
	return nil
}
