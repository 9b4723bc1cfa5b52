package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mustFault loads a faulty text and returns its faults, in one text, with the file's name for its path.
func mustFault(tb testing.TB, text string, flags *pflag.FlagSet) string {
	tb.Helper()
	path := mustWrite(tb, text)
	_, err := Loader{Path: path, Flags: flags, Backends: testBackends}.Load()
	require.Error(tb, err)
	var lines []string
	for _, fault := range Faults(err) {
		lines = append(lines, strings.ReplaceAll(fault.Error(), path, filepath.Base(path)))
	}
	assert.Len(tb, lines, len(leaves(err)), "every line is a fault: %v", err)
	return strings.Join(lines, "\n")
}

func TestPositions(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"value", "log:\n  format: xml\n", `observer.yaml:2:11: log.format: unknown value "xml"`},
		{"unknown key", "log:\n    levl: info\n", "observer.yaml:2:5: log.levl: unknown key"},
		{"unknown key with a map", "lgo:\n  level: info\n", "observer.yaml:1:1: lgo: unknown key"},
		{"element of a list", "ports: [1,\n  0]\n", "observer.yaml:2:3: ports[1]: 0 is not a port"},
		{"map in a list", "endpoints:\n- name: a\n  addresses:\n  - '*:1'\n  rol: client\n", "observer.yaml:5:3: endpoints[0].rol: unknown key"},
		{"address", "endpoints:\n  - name: a\n    addresses:\n      - '*:1'\n      - 10.0.0.1\n", `observer.yaml:5:9: endpoints[0].addresses[1]: "10.0.0.1" has no port`},
		{"missing key", "ports: [1]\nendpoints:\n  - addresses: ['*:1']\n", "observer.yaml:3:5: endpoints[0].name: must not be empty"},
		{"empty list", "ports: []\n", "observer.yaml:1:1: ports: no port to observe"},
		{"upper case", "Log: {Format: xml}", `observer.yaml:1:15: log.format: unknown value "xml"`},
		{"key with a dot", "renamed_commands:\n  a: get\n  json.get: gte\n", `observer.yaml:3:13: renamed_commands.json.get: `},
		{"behind an anchor", "endpoints:\n  - &e {name: '', addresses: ['*:1']}\nports: [1]\n", "observer.yaml:2:15: endpoints[0].name: must not be empty"},
		{"list at the top", "- a\n", "observer.yaml:1:1: the file must be a map of keys, not a list"},
		{"text at the top", "\nports\n", `observer.yaml:2:1: the file must be a map of keys, not "ports"`},
		{"tab", "log:\n\tlevel: info\n", "observer.yaml:2:1: the line is indented with a tab (YAML allows only spaces)"},
		{"tab behind spaces", "log:\n  level: info\n \tformat: text\n", "observer.yaml:3:2: the line is indented with a tab"},
		{"syntax", "ports: [1]\nlisten: [\n", "observer.yaml:2: not valid YAML: did not find expected node content"},
		{"syntax in the first line", "listen: [", "observer.yaml:1: not valid YAML: did not find expected node content"},
		{"key twice", "listen: ':1'\nports: [1]\nlisten: ':2'\n", "observer.yaml:3:1: listen: the same key stands in line 1 (remove one of them)"},
		{"key twice in upper case", "log:\n  level: info\n  Level: warn\n", "observer.yaml:3:3: Level: the same key stands in line 2"},
		{"second document", "ports: [1]\n---\nports: [2]\n", "observer.yaml:3:1: a second YAML document begins (keep one: remove the line --- above)"},
		{"syntax of a second document", "ports: [1]\n---\nports: [\n", "observer.yaml:3: not valid YAML: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := mustFault(t, test.text, nil)
			assert.True(t, strings.HasPrefix(got, test.want), "got  %s\nwant %s", got, test.want)
			assert.NotContains(t, got, "\n", "one fault")
		})
	}
	assert.Equal(t, "observer.yaml:3:1: a second YAML document begins (keep one: remove the line --- above)\n"+
		"observer.yaml:1:9: ports[0]: 0 is not a port (allowed 1 to 65535)", mustFault(t, "ports: [0]\n---\nports: [2]\n", nil))
	for _, text := range []string{"---\nports: [1]\n", "ports: [1]\n---\n", "ports: [1]\n...\n", "ports: [1]\n---\n# nothing\n", "---\n", ""} {
		_, err := load(mustWrite(t, text))
		assert.NoError(t, err, text)
	}
}

// A value of a variable or flag is not in the file.
func TestPositionsOutsideTheFile(t *testing.T) {
	const text = "ports: [1]\nlog: {format: text}\n"
	t.Setenv("REDIS_OBSERVER_LOG_FORMAT", "xml")
	assert.Equal(t, `REDIS_OBSERVER_LOG_FORMAT: log.format: unknown value "xml" (allowed text, json)`, mustFault(t, text, nil))
	assert.Equal(t, `--log-format: log.format: unknown value "yaml" (allowed text, json)`, mustFault(t, text, mustFlags(t, "--log-format", "yaml")))
	t.Setenv("REDIS_OBSERVER_LOG_FORMAT", "")
	assert.Equal(t, `--ports: ports[0]: must be a whole number, not "abc"`, mustFault(t, text, mustFlags(t, "--ports", "abc")))
}

func TestWhere(t *testing.T) {
	const text = "endpoints:\n  - name: a\n    addresses: ['*:1', '*:2']\n"
	l := Loader{Path: "observer.yaml"}
	assert.Equal(t, "observer.yaml:3:24", l.Where([]byte(text), "endpoints[0].addresses[1]"))
	assert.Equal(t, "observer.yaml", l.Where([]byte(text), "default_name"))
	assert.Empty(t, Loader{}.Where(nil, "default_name"))
}

func TestUnknownVariables(t *testing.T) {
	var lines []string
	for _, fault := range UnknownVariables([]string{
		"REDIS_OBSERVER_PROTS=6380", "REDIS_OBSERVER_PORT=6380", "REDIS_OBSERVER_VERBOSITY=3", "REDIS_OBSERVER_PORTS=1", "REDIS_OBSERVERS=1", "PATH=/bin",
		"REDIS_OBSERVER_LOG_LEVEL=", "REDIS_OBSERVER_LOGLEVEL=", "REDIS_OBSERVER_SERVICE_HOST=10.0.0.1", "REDIS_OBSERVER_SERVICE_PORT=9479", "REDIS_OBSERVER_SERVICE_PORT_HTTP=9479",
		"REDIS_OBSERVER_PORT_9479_TCP=tcp://10.0.0.1:9479", "REDIS_OBSERVER_PORT_9479_TCP_PROTO=tcp", "REDIS_OBSERVER_PORT_9479_TCP_PORT=9479",
		"REDIS_OBSERVER_PORT_9479_TCP_ADDR=10.0.0.1", "REDIS_OBSERVER_METRICS_PORT=tcp://10.0.0.1:9479", "REDIS_OBSERVER_METRICS_SERVICE_HOST=10.0.0.1",
	}) {
		lines = append(lines, fault.Error())
	}
	assert.Equal(t, []string{
		"REDIS_OBSERVER_PORT: is the variable of no key (did you mean REDIS_OBSERVER_PORTS?)",
		"REDIS_OBSERVER_PROTS: is the variable of no key (did you mean REDIS_OBSERVER_PORTS?)",
		"REDIS_OBSERVER_VERBOSITY: is the variable of no key (unset it)",
	}, lines)
	assert.Empty(t, UnknownVariables([]string{"REDIS_OBSERVER_PORT=tcp://10.0.0.1:9479"}))
}
