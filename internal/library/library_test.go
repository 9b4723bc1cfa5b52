package library

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// debian opens a library of a suite and architecture (test/libraries.sh).
func debian(t *testing.T, folder, name string) *os.File {
	t.Helper()
	root := filepath.Join("../../.cache/libraries", folder)
	found, err := filepath.Glob(filepath.Join(root, "usr/lib/*", name))
	require.NoError(t, err)
	if len(found) == 0 {
		t.Skip("run test/libraries.sh .cache/libraries: " + root + " has no " + name)
	}
	file, err := os.Open(found[0])
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	return file
}

func inspect(t *testing.T, file *os.File) *Library {
	t.Helper()
	found, err := Inspect(file)
	require.NoError(t, err)
	return found
}

// of returns the start and the ends of a function.
func (l *Library) of(t *testing.T, function string) (start Point, ends []Point) {
	t.Helper()
	starts := 0
	for _, p := range l.Points {
		switch {
		case p.Function != function:
		case p.End:
			ends = append(ends, p)
		default:
			start = p
			starts++
		}
	}
	require.Equal(t, 1, starts, function)
	return start, ends
}

// OpenSSL 1.1.1 of Debian 11 no longer changes, so its places are known: the branch on a negative
// length, where all arguments are in their registers, and the check of the stack protector.
func TestKnownPlaces(t *testing.T) {
	found := inspect(t, debian(t, "bullseye-amd64", "libssl.so.1.1"))
	assert.Equal(t, OpenSSL, found.Kind)
	assert.Empty(t, found.Refused)
	start, ends := found.of(t, "SSL_write") // at 0x389b0
	assert.Equal(t, Point{Function: "SSL_write", Offset: 0x389c6, Frame: 24}, start)
	assert.Equal(t, []Point{{Function: "SSL_write", End: true, Offset: 0x389e7, Frame: 24}}, ends)
	start, ends = found.of(t, "SSL_read") // at 0x386e0
	assert.Equal(t, Point{Function: "SSL_read", Offset: 0x386f6, Frame: 24}, start)
	assert.Equal(t, []Point{{Function: "SSL_read", End: true, Offset: 0x38717, Frame: 24}}, ends)
	start, ends = found.of(t, "SSL_write_ex") // at 0x38a20; sub, call, …, ret
	assert.Equal(t, Point{Function: "SSL_write_ex", Offset: 0x38a20, Stepped: true}, start)
	assert.Equal(t, []Point{{Function: "SSL_write_ex", End: true, Offset: 0x38a37, Stepped: true}}, ends)
	start, ends = found.of(t, "SSL_free")
	assert.False(t, start.Stepped)
	assert.Empty(t, ends)

	found = inspect(t, debian(t, "bullseye-arm64", "libssl.so.1.1"))
	start, ends = found.of(t, "SSL_write") // at 0x368c0; stp x29, x30, [sp, #-32]!; adrp
	assert.Equal(t, Point{Function: "SSL_write", Offset: 0x368c4, Frame: 32}, start)
	assert.Equal(t, []Point{{Function: "SSL_write", End: true, Offset: 0x36918}}, ends)
}

// The calls that Redis and its clients make most are never stepped.
func TestDebian(t *testing.T) {
	for folder, name := range map[string]string{
		"bullseye-amd64": "libssl.so.1.1", "bookworm-amd64": "libssl.so.3", "trixie-amd64": "libssl.so.3",
		"bullseye-arm64": "libssl.so.1.1", "bookworm-arm64": "libssl.so.3", "trixie-arm64": "libssl.so.3",
	} {
		t.Run(folder, func(t *testing.T) {
			file := debian(t, folder, name)
			found := inspect(t, file)
			for _, function := range []string{"SSL_write", "SSL_read", "SSL_peek"} {
				start, ends := found.of(t, function)
				assert.False(t, start.Stepped, "%+v", start)
				require.Len(t, ends, 1)
				assert.False(t, ends[0].Stepped, "%+v", ends[0])
			}
			// One of the two has the arguments of the other.
			write := "SSL_write_ex"
			if strings.HasPrefix(folder, "trixie") {
				write = "SSL_write_ex2"
				require.Len(t, found.Refused, 1)
				assert.Equal(t, "SSL_write_ex", found.Refused[0].Function)
				assert.Equal(t, errTailCall.Error(), found.Refused[0].Detail)
			} else {
				assert.Empty(t, found.Refused)
			}
			for _, function := range []string{write, "SSL_read_ex", "SSL_peek_ex"} {
				_, ends := found.of(t, function)
				assert.Len(t, ends, 1)
			}
			within(t, file, found)

			crypto := inspect(t, debian(t, folder, strings.Replace(name, "ssl", "crypto", 1)))
			assert.Equal(t, Crypto, crypto.Kind)
			counters := Counters{Read: 96, Written: 104}
			if strings.HasPrefix(folder, "bullseye") {
				counters = Counters{Read: 88, Written: 96}
			}
			assert.Equal(t, counters, crypto.BIOs)
			start, ends := crypto.of(t, "BIO_write")
			assert.False(t, start.Stepped)
			assert.Empty(t, ends)
		})
	}
}

// within checks the points with the tables of symbols as the standard library reads them.
func within(t *testing.T, file *os.File, found *Library) {
	t.Helper()
	parsed, err := elf.NewFile(file)
	require.NoError(t, err)
	symbols, err := parsed.DynamicSymbols()
	if err != nil {
		symbols, err = parsed.Symbols()
	} else if more, e := parsed.Symbols(); e == nil {
		symbols = append(symbols, more...)
	}
	require.NoError(t, err)
	ranges := map[string][2]uint64{}
	for _, s := range symbols {
		for _, p := range parsed.Progs {
			if p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value < p.Vaddr+p.Filesz {
				ranges[s.Name] = [2]uint64{s.Value - p.Vaddr + p.Off, s.Value - p.Vaddr + p.Off + s.Size}
			}
		}
	}
	ret := []byte{0xc3}
	if parsed.Machine == elf.EM_AARCH64 {
		ret = []byte{0xc0, 0x03, 0x5f, 0xd6}
	}
	for _, p := range found.Points {
		r, ok := ranges[p.Function]
		require.True(t, ok, p.Function)
		assert.GreaterOrEqual(t, p.Offset, r[0], "%+v", p)
		assert.Less(t, p.Offset, r[1], "%+v", p)
		if p.End && p.Frame == 0 {
			code := make([]byte, len(ret))
			_, err := file.ReadAt(code, int64(p.Offset))
			require.NoError(t, err)
			assert.Equal(t, ret, code, "%+v", p)
		}
	}
}

// A program that contains OpenSSL, as node does, without the stack protector, and whose functions
// are only in the table of symbols that stripping removes.
func TestStatic(t *testing.T) {
	const source = `
struct ssl { int (*method)(struct ssl *, const void *, unsigned long, unsigned long *); int state; };
static __attribute__((noinline)) void fail(void) { __asm__ volatile(""); }
static inline int transfer(struct ssl *s, const void *b, int n)
{
	unsigned long done = 0;
	if (n < 0) { fail(); return -1; }
	if (s->state) { fail(); return 0; }
	int result = s->method(s, b, n, &done);
	return result > 0 ? (int)done : result;
}
int SSL_write(struct ssl *s, const void *b, int n) { return transfer(s, b, n); }
int SSL_read(struct ssl *s, void *b, int n) { return transfer(s, b, n) + 0 * n; }
int my_SSL_read(struct ssl *s) { return s->state; }
int main(void) { return 0; }
`
	folder := t.TempDir()
	path := filepath.Join(folder, "program")
	require.NoError(t, os.WriteFile(path+".c", []byte(source), 0o600))
	output, err := exec.Command("gcc", "-O2", "-fno-stack-protector", "-fcf-protection=none", "-o", path, path+".c").CombinedOutput()
	require.NoError(t, err, "%s", output)
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	found := inspect(t, file)
	assert.Equal(t, OpenSSL, found.Kind)
	within(t, file, found)
	for _, function := range required {
		start, ends := found.of(t, function)
		assert.False(t, start.Stepped, "%+v", start)
		assert.NotEmpty(t, ends)
	}

	output, err = exec.Command("strip", path).CombinedOutput()
	require.NoError(t, err, "%s", output)
	stripped, err := os.Open(path)
	require.NoError(t, err)
	defer stripped.Close()
	_, err = Inspect(stripped)
	assertReason(t, NoTLS, err)
}

const program = `package main

import (
	"crypto/tls"
	"os"
)

func main() {
	c, err := tls.Dial("tcp", os.Args[1], nil)
	if err != nil {
		panic(err)
	}
	_, _ = c.Write(nil)
	_, _ = c.Read(nil)
}
`

// build builds a program with crypto/tls, or another one.
func build(t *testing.T, source string, environment []string, flags ...string) *os.File {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "main.go"), []byte(source), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "go.mod"), []byte("module program\n\ngo 1.20\n"), 0o600))
	command := exec.Command("go", append(append([]string{"build", "-o", "program"}, flags...), ".")...)
	command.Dir = folder
	command.Env = append(append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0"), environment...)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	file, err := os.Open(filepath.Join(folder, "program"))
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	return file
}

// A stripped program of Go has the same places as one with symbols.
func TestGo(t *testing.T) {
	cgo := strings.Replace(program, "import (", "// int one(void) { return 1; }\nimport \"C\"\n\nimport (", 1) + "\nfunc init() { println(C.one()) }\n"
	for name, build := range map[string]func(t *testing.T, flags ...string) *os.File{
		"amd64":       of(program, "GOARCH=amd64"),
		"arm64":       of(program, "GOARCH=arm64"),
		"1.20":        of(program, "GOARCH=amd64", "GOTOOLCHAIN=go1.20.14"),
		"anywhere":    of(program, "GOARCH=amd64", "GOFLAGS=-buildmode=pie"),
		"linked by C": of(cgo, "CGO_ENABLED=1", "GOFLAGS=-ldflags=-linkmode=external"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := build(t)
			found := inspect(t, file)
			assert.Equal(t, Go, found.Kind)
			assert.Empty(t, found.Refused)
			within(t, file, found)
			for _, function := range golangFunctions {
				start, ends := found.of(t, function.name)
				assert.False(t, start.Stepped, "%+v", start)
				assert.Greater(t, len(ends), 3)
			}
			stripped := build(t, "-ldflags=-s -w")
			if name == "linked by C" {
				stripped = build(t, "-ldflags=-s -w -linkmode=external")
			}
			again := inspect(t, stripped)
			assert.Equal(t, relative(found), relative(again))
			symbols, err := elf.NewFile(stripped)
			require.NoError(t, err)
			_, err = symbols.Symbols()
			assert.ErrorIs(t, err, elf.ErrNoSymbols, "it is not stripped")
		})
	}
}

func of(source string, environment ...string) func(t *testing.T, flags ...string) *os.File {
	return func(t *testing.T, flags ...string) *os.File { return build(t, source, environment, flags...) }
}

// relative returns the points of each function relative to its start.
func relative(l *Library) map[string][]Point {
	all := map[string][]Point{}
	base := map[string]uint64{}
	for _, p := range l.Points {
		if !p.End {
			base[p.Function] = p.Offset
		}
		p.Offset -= base[p.Function]
		all[p.Function] = append(all[p.Function], p)
	}
	return all
}

func TestGoWithoutTLS(t *testing.T) {
	_, err := Inspect(build(t, "package main\n\nfunc main() { println(1) }\n", nil))
	assertReason(t, NoTLS, err)
}

func assertReason(t *testing.T, want Reason, err error) {
	t.Helper()
	var refusal *Refusal
	if assert.ErrorAs(t, err, &refusal) {
		assert.Equal(t, want, refusal.Reason, err.Error())
	}
}

func TestSupported(t *testing.T) {
	for version, want := range map[string]bool{
		"go1.20": true, "go1.20.14": true, "go1.26.8": true, "go1.21rc2": true, "devel go1.27-abcdef Mon": true, "go1.22.1 X:boringcrypto": true,
		"go1.19.13": false, "go1.9": false, "devel +abcdef": false, "": false,
	} {
		assert.Equal(t, want, supported(version), version)
	}
}

func TestNotPrograms(t *testing.T) {
	_, err := Inspect(strings.NewReader("#!/bin/sh\n"))
	assertReason(t, NotELF, err)
	_, err = Inspect(bytes.NewReader(nil))
	assertReason(t, NotELF, err)

	file := debian(t, "bullseye-amd64", "libssl.so.1.1")
	whole, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	changed := bytes.Clone(whole)
	changed[elf.EI_CLASS] = byte(elf.ELFCLASS32)
	_, err = Inspect(bytes.NewReader(changed))
	assert.Error(t, err)
	changed = bytes.Clone(whole)
	changed[18] = byte(elf.EM_RISCV)
	_, err = Inspect(bytes.NewReader(changed))
	assertReason(t, Machine, err)

	// A 32-bit program has another header.
	i386 := make([]byte, 52)
	copy(i386, "\x7fELF\x01\x01\x01")
	i386[16], i386[18], i386[20], i386[40] = 3, byte(elf.EM_386), 1, 52
	_, err = Inspect(bytes.NewReader(i386))
	assertReason(t, Machine, err)

	// What is cut off anywhere is refused or complete.
	for size := 0; size < len(whole); size += 4093 {
		_, err := Inspect(bytes.NewReader(whole[:size]))
		assert.Error(t, err, size)
	}
}

// A breakpoint of a debugger, or of a faulty tool, in the code of the function.
func TestChangedCode(t *testing.T) {
	whole, err := os.ReadFile(debian(t, "bullseye-amd64", "libssl.so.1.1").Name())
	require.NoError(t, err)
	whole[0x389b0] = 0x06 // not an instruction in 64-bit mode
	_, err = Inspect(bytes.NewReader(whole))
	assertReason(t, Code, err)
	assert.ErrorContains(t, err, "SSL_write: an instruction does not decode at +0x0")
}
