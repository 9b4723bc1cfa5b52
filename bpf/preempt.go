package bpf

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// duplicatesIfPreemptible is how often the programs of the socket calls are attached to a kernel
// that can preempt them. A call is missed if that many tasks of one CPU are preempted, one in each
// duplicate. Each additional duplicate makes that five to forty times rarer (docs/kernels.md). It
// cannot be excluded: a program that disables preemption may be preempted as soon as it enables it
// again, and counts as running until it ends.
const duplicatesIfPreemptible = 6

// startDuplicates is how often the programs of the start of a call are attached at most, where its
// end makes up for a start that all of them missed (find_missed_send in calls.h).
const startDuplicates = 3

// findsMissedStarts reports whether this kernel lets programs read the registers of a task, which
// the end of a call needs to do without its start (Linux 5.15).
func findsMissedStarts() bool {
	return !errors.Is(features.HaveProgramHelper(ebpf.Kprobe, asm.FnTaskPtRegs), ebpf.ErrNotSupported)
}

// lifeDuplicatesAlways and lifeDuplicatesIfPreemptible are how often the programs of the life of
// connections are attached. Every kernel needs two: one for processes, and one for the softirqs
// that interrupt them.
const (
	lifeDuplicatesAlways        = 2
	lifeDuplicatesIfPreemptible = 3
)

// duplicates returns how often the backend's programs are attached on this kernel.
func (b *backend) duplicates() uint32 {
	if b.preempted && preemptibleHere() {
		return duplicatesIfPreemptible
	}
	return 1
}

// lifeDuplicates returns how often the programs of the life of connections are attached on this
// kernel.
func lifeDuplicates() uint32 {
	if preemptibleHere() {
		return lifeDuplicatesIfPreemptible
	}
	return lifeDuplicatesAlways
}

// preemptibleHere is preemptible for the running kernel. The result is cached, because it must be
// the same for all programs.
var preemptibleHere = sync.OnceValue(func() bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return true
	}
	return preemptible(os.DirFS("/"), unix.ByteSliceToString(name.Release[:]), unix.ByteSliceToString(name.Version[:]))
})

// preemptible reports whether the kernel can preempt tasks in the kernel. If unknown, it returns
// true.
func preemptible(root fs.FS, release, version string) bool {
	if !strings.Contains(version, "PREEMPT") {
		return false
	}
	if strings.Contains(version, "PREEMPT_RT") {
		return true
	}
	for _, model := range []string{modelInUse(root), modelOfBoot(root, release), modelOfBuild(root, release)} {
		if model != "" {
			return model == "full" || model == "lazy"
		}
	}
	return true
}

// modelInUse returns the model that the scheduler uses, from a text such as "none voluntary (full)
// lazy".
func modelInUse(root fs.FS) string {
	text, _ := fs.ReadFile(root, "sys/kernel/debug/sched/preempt") // not mounted, or lockdown
	_, rest, _ := strings.Cut(string(text), "(")
	model, _, _ := strings.Cut(rest, ")")
	return model
}

// modelOfBoot returns the model on the kernel's command line. A kernel ignores one that it does not
// have.
func modelOfBoot(root fs.FS, release string) string {
	text, _ := fs.ReadFile(root, "proc/cmdline")
	model := ""
	for parameter := range strings.FieldsSeq(string(text)) {
		if value, found := strings.CutPrefix(parameter, "preempt="); found && hasModel(release, value) {
			model = value
		}
	}
	return model
}

// hasModel reports whether a kernel still has a model. On x86 and arm64, none and voluntary went with
// 7.0 (7dadeaa6e851 "sched: Further restrict the preemption modes"), and nothing but the scheduler's
// file, which need not be readable, says so.
func hasModel(release, model string) bool {
	if model != "none" && model != "voluntary" {
		return true
	}
	major, _, _ := strings.Cut(release, ".")
	version, err := strconv.Atoi(major)
	return err == nil && version < 7
}

var builtModel = regexp.MustCompile(`^CONFIG_PREEMPT(_NONE|_VOLUNTARY|_LAZY|)=y$`)

// modelOfBuild returns the model in the configuration of the kernel's build, if that file exists.
func modelOfBuild(root fs.FS, release string) string {
	for _, path := range []string{"proc/config.gz", "boot/config-" + release} {
		file, err := root.Open(path)
		if err != nil {
			continue
		}
		defer file.Close()
		var text io.Reader = file
		if strings.HasSuffix(path, ".gz") {
			if text, err = gzip.NewReader(file); err != nil {
				continue
			}
		}
		for lines := bufio.NewScanner(text); lines.Scan(); {
			switch match := builtModel.FindStringSubmatch(lines.Text()); {
			case match == nil:
			case match[1] == "":
				return "full"
			default:
				return strings.ToLower(match[1][1:])
			}
		}
	}
	return ""
}
