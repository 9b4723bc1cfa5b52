package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/owner"
)

func TestFaults(t *testing.T) {
	long := strings.Repeat("x", 129)
	tests := []struct {
		name, text string
		want       []string
	}{
		{"misspelt key", "listn: x", []string{"listn: unknown key (did you mean listen? allowed listen, web_config, capture, ports, default_name, endpoints, ignore, resolve_interval, metrics, extra_commands, renamed_commands, slow_commands, otlp, log)"}},
		{"misspelt nested key", "capture: {rnig_size: 1}", []string{"capture.rnig_size: unknown key (did you mean ring_size? allowed backend, ring_size, flush_interval, max_bytes_per_call, interfaces, tls, user_namespaces)"}},
		{"misspelt key in a list", "endpoints: [{name: a, addresses: [\"*:1\"], rol: client}]", []string{"endpoints[0].rol: unknown key (did you mean role? allowed name, addresses, role)"}},
		{"key like no other", "log: {verbosity: 3}", []string{"log.verbosity: unknown key (allowed level, format)"}},
		{"key with a dot", "capture.backend: auto", []string{"capture.backend: unknown key (allowed listen, web_config, capture, ports, default_name, endpoints, ignore, resolve_interval, metrics, extra_commands, renamed_commands, slow_commands, otlp, log)"}},
		{"map wanted", "capture: 5", []string{"capture: must be a map, not a whole number"}},
		{"list wanted", "endpoints: {name: a}", []string{"endpoints: must be a list, not a map"}},
		{"text wanted", "listen: 9479", []string{"listen: must be text, not a whole number"}},
		{"bool wanted", "metrics: {native_histograms: 1}", []string{"metrics.native_histograms: must be true or false, not a whole number"}},
		{"listen", "listen: localhost", []string{`listen: "localhost" is not an address with a port (allowed :9479, 127.0.0.1:9479, [::1]:9479)`}},
		{"listen port", "listen: ':http'", []string{`listen: ":http" has no valid port (allowed :9479, 127.0.0.1:9479, [::1]:9479)`}},
		{"web_config", "web_config: /nonexistent", []string{"web_config: stat /nonexistent: no such file or directory (allowed the path of a web configuration file, or an empty text)"}},
		{"backend", "capture: {backend: ebpf}", []string{`capture.backend: unknown value "ebpf" (allowed ` + strings.Join(testBackends, ", ") + `)`}},
		{"ring not a power of two", "capture: {ring_size: 12MiB}", []string{"capture.ring_size: 12MiB is not a power of two (use 8MiB or 16MiB)"}},
		{"ring too small", "capture: {ring_size: 4096}", []string{"capture.ring_size: 4KiB is out of range (allowed a power of two from 64KiB to 1GiB)"}},
		{"ring no size", "capture: {ring_size: 16MB}", []string{`capture.ring_size: "16MB" is not a size (allowed a size such as 64KiB or 16MiB)`}},
		{"ring negative", "capture: {ring_size: -1}", []string{"capture.ring_size: -1 is negative (allowed a size such as 64KiB or 16MiB)"}},
		{"ring too large for 64 bits", "capture: {ring_size: 99999999999GiB}", []string{`capture.ring_size: "99999999999GiB" does not fit into 64 bits (allowed a size such as 64KiB or 16MiB)`}},
		{"duration without unit", "capture: {flush_interval: 5}", []string{"capture.flush_interval: has no unit (allowed a duration such as 5ms or 30s)"}},
		{"no duration", "capture: {flush_interval: fast}", []string{`capture.flush_interval: "fast" is not a duration (allowed a duration such as 5ms or 30s)`}},
		{"duration out of range", "capture: {flush_interval: 2s}", []string{"capture.flush_interval: 2s is out of range (allowed 100µs to 1s)"}},
		{"bytes per call", "capture: {max_bytes_per_call: 16MiB}", []string{"capture.max_bytes_per_call: 16MiB is out of range (allowed 256 to 8MiB)"}},
		{"tls", "capture: {tls: on}", []string{`capture.tls: unknown value "on" (allowed auto, off)`}},
		{"user_namespaces", "capture: {user_namespaces: unnamd}", []string{`capture.user_namespaces: unknown value "unnamd" (did you mean unnamed? allowed allow, unnamed)`}},
		{"interface", "capture: {interfaces: [eth0, 'a/b']}", []string{`capture.interfaces[1]: "a/b" is not the name of an interface (allowed a name such as eth0)`}},
		{"ports", "ports: [0, 6379, 70000]", []string{"ports[0]: 0 is not a port (allowed 1 to 65535)", "ports[2]: 70000 is not a port (allowed 1 to 65535)"}},
		{"port as text", "ports: [redis]", []string{`ports[0]: must be a whole number, not "redis"`}},
		{"nothing has a name", "default_name: ''", []string{"default_name: nothing has a name (set a name, or add an endpoint)"}},
		{"all is ignored", "{ports: [], endpoints: [{role: ignore, addresses: ['*:1']}]}", []string{"ports: no port to observe (list at least one, or add an endpoint)"}},
		{"name of spaces", "default_name: ' '", []string{"default_name: must not be empty (allowed 1 to 128 bytes of printable text)"}},
		{"default_name long", "default_name: " + long, []string{"default_name: is 129 bytes long (allowed 1 to 128 bytes of printable text)"}},
		{"default_name unprintable", `default_name: "a\nb"`, []string{`default_name: "a\nb" is not printable (allowed 1 to 128 bytes of printable text)`}},
		{"endpoint empty", "endpoints: [{}]", []string{"endpoints[0].name: must not be empty (allowed 1 to 128 bytes of printable text)", "endpoints[0].addresses: must not be empty (" + address.Forms + ")"}},
		{"endpoint is text", "endpoints: [sessions]", []string{`endpoints[0]: must be a map, not "sessions"`}},
		{"name is a number", "endpoints: [{name: 5, addresses: ['*:1']}]", []string{"endpoints[0].name: must be text, not a whole number"}},
		{"role", "endpoints: [{name: a, addresses: ['*:1'], role: both}]", []string{`endpoints[0].role: unknown value "both" (allowed client, server, ignore)`}},
		{"address", "endpoints: [{name: a, addresses: ['*:1', '10.0.0.1']}]", []string{`endpoints[0].addresses[1]: "10.0.0.1" has no port (` + address.Forms + ")"}},
		{"address taken", "endpoints: [{name: a, addresses: ['*:1']}, {name: b, addresses: ['*:2', '*:1']}]", []string{`endpoints[1].addresses[1]: *:1 is also endpoints[0].addresses[0] of "a" (remove one of them)`}},
		{"address twice", "endpoints: [{name: a, addresses: ['*:1', '*:1']}]", []string{`endpoints[0].addresses[1]: *:1 is also endpoints[0].addresses[0] (remove one of them)`}},
		{"address twice under one name", "endpoints: [{name: a, addresses: ['h:1']}, {name: a, addresses: ['H:1']}]", []string{`endpoints[1].addresses[0]: h:1 is also endpoints[0].addresses[0] (remove one of them)`}},
		{"address counted at both ends", "endpoints: [{name: a, addresses: ['*:1']}, {name: a, addresses: ['*:1'], role: server}]", []string{`endpoints[1].addresses[0]: *:1 of "a" is also endpoints[0].addresses[0] of "a" with role client, so it is not clear which one decides (remove one of them)`}},
		{"address counted and ignored", "endpoints: [{name: a, addresses: ['*:1']}, {role: ignore, addresses: ['*:1']}]", []string{`endpoints[1].addresses[0]: *:1 of "" is also endpoints[0].addresses[0] of "a" with role client, so it is not clear which one decides (remove one of them)`}},
		{"path to ignore", "endpoints: [{role: ignore, addresses: ['unix:/s']}]", []string{"endpoints[0].addresses[0]: unix:/s cannot be ignored, because Unix sockets that are not listed are not observed (remove it)"}},
		{"ranges that cross", "endpoints: [{name: a, addresses: ['*:1-5', '*:3', '*:2-4']}, {name: b, addresses: ['*:5-6']}]", []string{`endpoints[1].addresses[0]: *:5-6 and endpoints[0].addresses[0] of "a" have ports in common, and neither is the more specific one (give each port to one of them)`}},
		{"address counted at both ends under two names", "endpoints: [{name: a, addresses: ['*:1']}, {name: b, addresses: ['*:1'], role: server}]", []string{`endpoints[1].addresses[0]: *:1 of "b" is also endpoints[0].addresses[0] of "a" with role client, so it is not clear which one decides (remove one of them)`}},
		{"path of a directory", "endpoints: [{name: a, addresses: ['unix:/tmp']}]", []string{"endpoints[0].addresses[0]: unix:/tmp is a directory (allowed the path of a socket, such as unix:/run/redis/redis.sock)"}},
		{"relative path", "endpoints: [{name: a, addresses: ['unix:redis.sock']}]", []string{`endpoints[0].addresses[0]: "unix:redis.sock" is a relative path (write the path from / on, as the server binds it)`}},
		{"path counted at both ends", "endpoints: [{name: a, addresses: ['unix:/s']}, {name: b, addresses: ['unix:/s'], role: server}]", []string{`endpoints[1].addresses[0]: unix:/s of "b" is also endpoints[0].addresses[0] of "a" with role client, so it is not clear which one decides (remove one of them)`}},
		{"host counted at both ends", "endpoints: [{name: a, addresses: ['h:1']}, {name: b, addresses: ['H.:1'], role: server}]", []string{`endpoints[1].addresses[0]: h:1 of "b" is also endpoints[0].addresses[0] of "a" with role client, so it is not clear which one decides (remove one of them)`}},
		{"resolve_interval", "resolve_interval: 10ms", []string{"resolve_interval: 10ms is too short (allowed 1s or more)"}},
		{"buckets empty", "metrics: {buckets: []}", []string{"metrics.buckets: has 0 bounds (allowed 1 to 100, in seconds)"}},
		{"buckets", "metrics: {buckets: [0, 2, 1, .inf]}", []string{
			"metrics.buckets[0]: 0 is not a finite positive number (allowed seconds, as in 0.005)",
			"metrics.buckets[2]: 1 is not greater than the previous bound 2 (allowed ascending bounds)",
			"metrics.buckets[3]: +Inf is not a finite positive number (allowed seconds, as in 0.005)"}},
		{"command_names", "metrics: {command_names: jedis}", []string{`metrics.command_names: unknown value "jedis" (allowed wire, redis-py)`}},
		{"labels", "metrics: {labels: [container_id, pod, container_id], max_label_sets: 0, label_ttl: 1s}", []string{
			`metrics.labels[1]: unknown value "pod" (allowed ` + strings.Join(owner.Labels(), ", ") + `)`,
			"metrics.labels[2]: container_id is listed twice (remove one of them)",
			"metrics.max_label_sets: 0 is out of range (allowed 1 to 100000)",
			"metrics.label_ttl: 1s is too short (allowed 1m or more)"}},
		{"ignored processes", "ignore: {processes: [envoy, '', /usr/bin/envoy, '**', envoy, \"a\\tb\", " + strings.Repeat("x", 64) + "]}", []string{
			"ignore.processes[1]: must not be empty (allowed a name, in which * stands for any text)",
			`ignore.processes[2]: "/usr/bin/envoy" is a path (write the name of the executable, envoy)`,
			"ignore.processes[3]: leaves out every process (allowed the name of an executable, in which * stands for any text)",
			"ignore.processes[4]: envoy is listed twice (remove one of them)",
			`ignore.processes[5]: "a\tb" is not printable (allowed a name, in which * stands for any text)`,
			"ignore.processes[6]: is longer than the 63 bytes that are seen of a name (end it earlier, with *)"}},
		{"ignored units", "ignore: {units: [a.service, b*, c*vice, '*.scope', haproxy, d*.mount, e.slice, /f.service]}", []string{
			"ignore.units[4]: haproxy is neither a service nor a scope (write haproxy.service)",
			"ignore.units[5]: d*.mount is neither a service nor a scope (write d*.mount.service)",
			"ignore.units[6]: e.slice is a slice, in which no process is (write its services and scopes)",
			`ignore.units[7]: "/f.service" is a path (write the name of the unit, as haproxy.service)`}},
		{"ignored namespaces", "ignore: {namespaces: [kube-system, 'istio-*', Shop, 'a_b', '-a']}", []string{
			`ignore.namespaces[2]: "Shop" is not the name of a namespace (allowed lower case letters, digits and hyphens, and * for any text)`,
			`ignore.namespaces[3]: "a_b" is not the name of a namespace (allowed lower case letters, digits and hyphens, and * for any text)`,
			`ignore.namespaces[4]: "-a" is not the name of a namespace (allowed lower case letters, digits and hyphens, and * for any text)`}},
		{"ignore of names", "ignore: [envoy]", []string{"ignore: must be a map, not a list"}},
		{"slow commands", "slow_commands: {size: -1, threshold: 1us}", []string{
			"slow_commands.size: -1 is out of range (allowed 0 to 1000, 0 for none)", "slow_commands.threshold: 1µs is out of range (allowed 100µs to 1h)"}},
		{"level", "log: {level: trace}", []string{`log.level: unknown value "trace" (allowed debug, info, warn, error)`}},
		{"format", "log: {format: xml}", []string{`log.format: unknown value "xml" (allowed text, json)`}},
		{"extra command", "extra_commands: [fine, 'a b']", []string{`extra_commands[1]: extra command "a b": must consist of letters, digits and _ . - | :, not ' '`}},
		{"renamed command", "renamed_commands: {xget: got}", []string{`renamed_commands.xget: renamed command "xget": unknown command "got" (give the name before renaming, such as get)`}},
		{"bucket with a unit", "metrics: {buckets: [1ms, 2500us]}", []string{
			`metrics.buckets[0]: must be a number, not "1ms" (write 0.001, in seconds)`, `metrics.buckets[1]: must be a number, not "2500us" (write 0.0025, in seconds)`}},
		{"value nearly right", "capture: {backend: trace-point}\nlog: {level: warning}", []string{
			`capture.backend: unknown value "trace-point" (did you mean tracepoint? allowed auto, fentry, kprobe, tracepoint)`,
			`log.level: unknown value "warning" (did you mean warn? allowed debug, info, warn, error)`}},
		{"all at once", "listn: x\ncapture: {backend: ebpf, ring_size: 5x}\nports: [0]\nlog: {format: xml, levl: info}", []string{
			"log.levl: unknown key (did you mean level? allowed level, format)",
			"listn: unknown key (did you mean listen? allowed listen, web_config, capture, ports, default_name, endpoints, ignore, resolve_interval, metrics, extra_commands, renamed_commands, slow_commands, otlp, log)",
			`capture.ring_size: "5x" is not a size (allowed a size such as 64KiB or 16MiB)`,
			`capture.backend: unknown value "ebpf" (allowed ` + strings.Join(testBackends, ", ") + `)`,
			"ports[0]: 0 is not a port (allowed 1 to 65535)",
			`log.format: unknown value "xml" (allowed text, json)`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config, err := load(mustWrite(t, test.text))
			require.Error(t, err)
			assert.Nil(t, config)
			var got []string
			for _, fault := range Faults(err) {
				assert.Contains(t, fault.At, "observer.yaml")
				fault.At = ""
				got = append(got, fault.Error())
			}
			assert.ElementsMatch(t, test.want, got)
			assert.Equal(t, len(test.want), len(leaves(err)), "every line is a fault: %v", err)
		})
	}
}

func TestVariableFaults(t *testing.T) {
	for variable, want := range map[string]string{
		"PORTS":                     `ports[0]: must be a whole number, not "x"`,
		"METRICS_NATIVE_HISTOGRAMS": `metrics.native_histograms: must be true or false, not "x"`,
		"ENDPOINTS":                 `endpoints[0]: must be a map, not "x"`,
		"RENAMED_COMMANDS":          `renamed_commands: must be a map, not "x"`,
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv("REDIS_OBSERVER_"+variable, "x")
			_, err := load("")
			require.Len(t, Faults(err), 1)
			assert.Equal(t, "REDIS_OBSERVER_"+variable+": "+want, Faults(err)[0].Error())
		})
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "4096": 4096, "64KiB": 64 << 10, " 16 MiB ": 16 << 20, "1GiB": 1 << 30} {
		size, err := ParseSize(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, size, text)
	}
	for size, want := range map[Size]string{0: "0", 100: "100", 1024: "1KiB", 1536: "1536", 16 << 20: "16MiB"} {
		assert.Equal(t, want, size.String())
	}
	for _, text := range []string{"", "KiB", "1kb", "-1", "1.5MiB", "18446744073709551615KiB"} {
		_, err := ParseSize(text)
		assert.Error(t, err, text)
	}
}
