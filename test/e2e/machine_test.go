package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"

	"github.com/redis-observer/redis-observer/test/kit"
)

// requirement is what REDIS_OBSERVER_TEST_REQUIRE says that this machine must be able to: "1" for all, "packets" for what the packet
// backend can. Tests that need no more fail then where they would skip.
var requirement = os.Getenv("REDIS_OBSERVER_TEST_REQUIRE")

// machine is what this machine can run.
type machine struct {
	backend string // that auto takes, or that the environment asks for; "" if none works
	reason  string // why none works
	needed  bool   // one should, or a better one
}

const (
	packets    = "packet"                         // the backend that sees less than the probes
	backendKey = "REDIS_OBSERVER_CAPTURE_BACKEND" // of the environment: the whole suite can be run with one backend
)

// RequireObserver skips the test on a machine that cannot run the observer at all. It fails if the machine has all that is needed.
func RequireObserver(tb testing.TB) {
	tb.Helper()
	m := theMachine()
	switch {
	case requirement == "1" && byPackets() && os.Getenv(backendKey) != packets:
		tb.Fatal("the probes are required, and do not work: redis-observer check says why")
	case m.backend != "" && !m.needed:
	case m.needed || requirement != "":
		tb.Fatal(m.reason)
	default:
		tb.Skip(m.reason)
	}
}

// skip skips a test for want of what only a privileged process has, unless that is required.
func skip(tb testing.TB, reason string) {
	tb.Helper()
	if requirement == "1" {
		tb.Fatal(reason)
	}
	tb.Skip(reason)
}

// RequireProbes skips the test where packets are all that can be captured.
func RequireProbes(tb testing.TB, why string) {
	tb.Helper()
	RequireObserver(tb)
	if !byPackets() {
		return
	}
	tb.Skip("needs the probes (CAP_BPF and CAP_PERFMON): ", why)
}

// byPackets reports whether observers of this machine capture packets.
func byPackets() bool { return theMachine().backend == packets }

// theMachine asks the observer once.
var theMachine = sync.OnceValue(func() machine {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return machine{reason: "needs redis-server (as root, make test installs it; otherwise: apt-get install redis-server redis-tools)"}
	}
	command := exec.Command(raceBinary, "check", "--output", "json")
	command.Env = kit.Environment()
	output, fault := command.Output()
	var check struct {
		Backend string
		Kernel  struct {
			BTF          string
			RingBuffer   string `json:"ring_buffer"`
			Capabilities []string
		}
	}
	if err := json.Unmarshal(output, &check); err != nil {
		return machine{reason: fmt.Sprintf("redis-observer check says nothing that can be read: %v: %s", err, output), needed: true}
	}
	k := check.Kernel
	has := func(name string) bool { return slices.Contains(k.Capabilities, name) }
	probes := (has("CAP_SYS_ADMIN") || has("CAP_BPF") && has("CAP_PERFMON")) && k.BTF == "yes" && k.RingBuffer == "yes"
	asked := os.Getenv(backendKey)
	m := machine{backend: check.Backend}
	switch {
	case probes && (fault != nil || check.Backend == packets && asked != packets):
		m.needed = true
		m.reason = fmt.Sprintf("this machine has what the probes need, and they do not work: %s", output)
	case fault != nil:
		m.needed = has("CAP_NET_RAW")
		m.reason = "needs CAP_NET_RAW to capture packets, or better CAP_BPF and CAP_PERFMON (run it as root)"
		if m.needed {
			m.reason = fmt.Sprintf("packets cannot be captured in spite of CAP_NET_RAW: %s", output)
		}
	}
	return m
})
