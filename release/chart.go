package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// versionLine matches the two versions in Chart.yaml.
var versionLine = regexp.MustCompile(`(?m)^(version|appVersion):.*$`)

// writeChart packs the chart with the version of the release.
func (r *release) writeChart() error {
	files, err := readTree(filepath.Join(r.root, chartFolder))
	if err != nil {
		return err
	}
	files = slices.DeleteFunc(files, func(f file) bool { return strings.HasPrefix(f.name, "tests/") }) // of the chart's own tests
	i := slices.IndexFunc(files, func(f file) bool { return f.name == "Chart.yaml" })
	files[i].content = versionLine.ReplaceAll(files[i].content, fmt.Appendf(nil, `$1: "%s"`, r.version))
	return writeTar(r.artefact("redis-observer-%s.tgz", r.version), "redis-observer", files, r.time)
}
