package main

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestVersionOfBuildInformation(t *testing.T) {
	for stamped, want := range map[string]string{
		"v0.1.0":                             "0.1.0", // go install …@v0.1.0
		"v0.0.0-20261129013742-4dfd06342e2d": "0.0.0-20261129013742-4dfd06342e2d",
		"(devel)":                            "development",
		"":                                   "development",
	} {
		assert.Equal(t, want, moduleVersion(&debug.BuildInfo{Main: debug.Module{Version: stamped}}), stamped)
	}
	assert.Equal(t, "abc", buildRevision(&debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}}}))
	assert.Equal(t, "unknown", buildRevision(&debug.BuildInfo{}))
}
