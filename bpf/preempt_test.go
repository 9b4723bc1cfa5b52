package bpf

import (
	"bytes"
	"compress/gzip"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPreemptible(t *testing.T) {
	const dynamic = "#1 SMP PREEMPT_DYNAMIC Debian 7.2.12-1 (2026-10-22)"
	file := func(path, text string) fstest.MapFS { return fstest.MapFS{path: {Data: []byte(text)}} }
	tests := []struct {
		name, version string
		root          fstest.MapFS
		want          bool
	}{
		{"not built for it", "#1 SMP Debian 5.10.223-1", nil, false},
		{"real time", "#1 SMP PREEMPT_RT Debian", file("proc/cmdline", "preempt=none"), true},
		{"not known", dynamic, nil, true},
		{"scheduler says none", dynamic, file("sys/kernel/debug/sched/preempt", "(none) voluntary full\n"), false},
		{"scheduler says voluntary", dynamic, file("sys/kernel/debug/sched/preempt", "none (voluntary) full\n"), false},
		{"scheduler says lazy", dynamic, file("sys/kernel/debug/sched/preempt", "full (lazy)\n"), true},
		{"command line says full", dynamic, file("proc/cmdline", "quiet preempt=none preempt=full\n"), true},
		{"command line says lazy", dynamic, file("proc/cmdline", "preempt=lazy\n"), true},
		{"built for none", dynamic, file("boot/config-7.2", "# CONFIG_PREEMPT is not set\nCONFIG_PREEMPT_NONE=y\nCONFIG_PREEMPT_BUILD=y\n"), false},
		{"built for full", dynamic, file("boot/config-7.2", "CONFIG_PREEMPT_BUILD=y\nCONFIG_PREEMPT=y\n"), true},
		{"built-in configuration", dynamic, file("proc/config.gz", compressed(t, "CONFIG_PREEMPT_VOLUNTARY=y\n")), false},
		{"unreadable configuration", dynamic, file("proc/config.gz", "CONFIG_PREEMPT_NONE=y\n"), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, preemptible(test.root, "7.2", test.version)) })
	}
}

// A kernel ignores a model on its command line that it does not have.
func TestModelOfBoot(t *testing.T) {
	tests := []struct {
		release, parameters, want string
	}{
		{"6.1.0-49-cloud-amd64", "quiet preempt=none", "none"},
		{"6.18.9", "preempt=voluntary", "voluntary"},
		{"6.18.9", "preempt=lazy", "lazy"},
		{"7.0.0-rc1", "preempt=none", ""},
		{"7.2.12+deb14-cloud-amd64", "preempt=voluntary", ""},
		{"7.2.12+deb14-cloud-amd64", "preempt=full preempt=none", "full"},
		{"7.2.12+deb14-cloud-amd64", "preempt=full preempt=lazy", "lazy"},
		{"10.1.0", "preempt=none", ""},
		{"unknown", "preempt=none", ""},
		{"7.2.12", "quiet", ""},
	}
	for _, test := range tests {
		t.Run(test.release+" "+test.parameters, func(t *testing.T) {
			root := fstest.MapFS{"proc/cmdline": {Data: []byte(test.parameters + "\n")}}
			assert.Equal(t, test.want, modelOfBoot(root, test.release))
		})
	}
}

func compressed(t *testing.T, text string) string {
	t.Helper()
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buffer.String()
}
