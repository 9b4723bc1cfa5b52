package layers

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/redis-observer/redis-observer/"

// layers lists the packages, the ground floor first, and what each reaches of this project, directly or by others.
var layers = map[string][]string{
	"internal/address":                 {},
	"internal/cgroup":                  {},
	"internal/command":                 {},
	"internal/event":                   {},
	"internal/host":                    {},
	"internal/identity":                {},
	"internal/kube":                    {},
	"internal/kube/kubetest":           {},
	"internal/library":                 {},
	"internal/lookup":                  {},
	"internal/lookup/lookuptest":       {},
	"internal/parser":                  {},
	"internal/plainfile":               {},
	"internal/privilege":               {},
	"internal/report":                  {},
	"internal/spelling":                {},
	"internal/capture/capturetest":     {"test/kit/resp"},
	"internal/capture/packet/frame":    {},
	"internal/capture/packet/pcap":     {},
	"internal/capture/packet/sockets":  {},
	"internal/capture/packet/afpacket": {"internal/capture/packet/frame"},
	"bpf":                              {"internal/host"},
	"internal/capture/attach":          {"bpf", "internal/host", "internal/library", "internal/privilege"},
	"internal/capture/socket":          {"bpf", "internal/capture/attach", "internal/event", "internal/host", "internal/library", "internal/privilege"},
	"internal/capture/packet": {
		"internal/capture/packet/afpacket", "internal/capture/packet/frame", "internal/capture/packet/pcap",
		"internal/capture/packet/sockets", "internal/event", "internal/host", "internal/privilege",
	},
	"internal/capture": {
		"bpf", "internal/capture/attach", "internal/library", "internal/capture/packet", "internal/capture/packet/afpacket", "internal/capture/packet/frame", "internal/capture/packet/pcap",
		"internal/capture/packet/sockets", "internal/capture/socket", "internal/event", "internal/host", "internal/privilege",
	},
	"internal/naming":            {"internal/address", "internal/event", "internal/identity"},
	"internal/owner":             {"internal/event", "internal/identity"},
	"internal/config":            {"internal/address", "internal/command", "internal/event", "internal/identity", "internal/owner", "internal/plainfile", "internal/spelling"},
	"internal/correlate/reorder": {"internal/event"},
	"internal/correlate/session": {"internal/command", "internal/event", "internal/identity", "internal/parser"},
	"internal/correlate": {
		"internal/command", "internal/correlate/reorder", "internal/correlate/session", "internal/event", "internal/identity", "internal/parser",
	},
	"internal/metrics": {
		"internal/command", "internal/correlate", "internal/correlate/reorder", "internal/correlate/session", "internal/event",
		"internal/identity", "internal/parser",
	},
	"internal/slow": {
		"internal/command", "internal/correlate/session", "internal/event", "internal/identity", "internal/parser", "internal/report",
	},
	"internal/export/otlp":          {},
	"internal/export/otlp/otlptest": {},
	"internal/page":                 {"internal/report"},
	"internal/server":               {"internal/plainfile"},
	"internal/top":                  {"internal/report"},
}

// libraries lists who may reach what of others, directly or by others.
var libraries = map[string][]string{
	"github.com/cilium/ebpf":                 {"bpf", "internal/capture", "internal/capture/attach", "internal/capture/socket"},
	"github.com/prometheus/client_golang":    {"internal/metrics", "internal/server", "internal/top"},
	"github.com/spf13/viper":                 {"internal/config"},
	"github.com/prometheus/exporter-toolkit": {"internal/server"},
	"charm.land":                             {"internal/top"},
	"github.com/charmbracelet":               {"internal/top"},
	"github.com/google/gopacket":             {"internal/capture/capturetest"},
	"go.opentelemetry.io":                    {"internal/export/otlp", "internal/export/otlp/otlptest"},
	"google.golang.org/grpc":                 {"internal/export/otlp", "internal/export/otlp/otlptest"},
	"github.com/gopacket/gopacket": {
		"internal/capture", "internal/capture/packet", "internal/capture/packet/afpacket", "internal/capture/packet/frame",
		"internal/capture/packet/pcap",
	},
}

// goCommand returns the lines that the go command prints at the root of the module.
func goCommand(t *testing.T, arguments ...string) []string {
	t.Helper()
	command := exec.Command("go", arguments...)
	command.Dir = "../.."
	command.Env = append(os.Environ(), "CGO_ENABLED=0") // as in the Makefile
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

// A package reaches what stands in the table, and every package stands there.
func TestLayers(t *testing.T) {
	for _, line := range goCommand(t, "list", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "./bpf", "./internal/...") {
		path, dependencies, _ := strings.Cut(line, " ")
		name := strings.TrimPrefix(path, module)
		may, listed := layers[name]
		if strings.HasSuffix(name, "/gen") {
			continue // a program
		}
		if !assert.True(t, listed, "%s stands in no layer", name) {
			continue
		}
		var reached []string
		for dependency := range strings.FieldsSeq(dependencies) {
			if own, found := strings.CutPrefix(dependency, module); found {
				reached = append(reached, own)
			}
			for library, who := range libraries {
				if strings.HasPrefix(dependency, library) {
					assert.Contains(t, who, name, "it reaches %s", dependency)
				}
			}
		}
		assert.ElementsMatch(t, may, reached, "what %s reaches", name)
	}
}
