package library

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sample is an ELF file of amd64 with one segment, whose code is that of all its functions.
type sample struct {
	address  uint64 // of the code
	code     []byte
	names    string // of symbols, which end with a zero byte each
	header   func(*elf.Header64)
	sections func([]elf.Section64)
}

// Indexes of its sections.
const (
	_ = iota
	sampleSymbols
	sampleNames
	sampleSectionNames
	sampleSections
)

const sampleCode = 0x1000 // offset in the file

func (s sample) file() []byte {
	names := cmp.Or(s.names, "SSL_write\x00SSL_read\x00")
	address := cmp.Or(s.address, sampleCode)
	var symbols bytes.Buffer
	for at := 0; at < len(names); at += strings.IndexByte(names[at:], 0) + 1 {
		write(&symbols, elf.Sym64{Name: uint32(at), Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC), Shndx: 1, Value: address, Size: uint64(len(s.code))})
		if at > 100 {
			break
		}
	}
	sectionNames := "\x00.dynsym\x00.dynstr\x00.shstrtab\x00"
	code := uint64(sampleCode)
	sizes := []uint64{uint64(len(s.code)), uint64(symbols.Len()), uint64(len(names)), uint64(len(sectionNames))}
	sections := make([]elf.Section64, sampleSections)
	at := code + sizes[0]
	for n := sampleSymbols; n < sampleSections; n++ {
		sections[n] = elf.Section64{Name: []uint32{0, 1, 9, 17}[n], Type: uint32(elf.SHT_STRTAB), Off: at, Size: sizes[n]}
		at += sizes[n]
	}
	sections[sampleSymbols].Type, sections[sampleSymbols].Link = uint32(elf.SHT_DYNSYM), sampleNames
	header := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Phoff: 64, Phentsize: 56, Phnum: 1,
		Shoff: at, Shentsize: 64, Shnum: sampleSections, Shstrndx: sampleSectionNames,
	}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	if s.header != nil {
		s.header(&header)
	}
	if s.sections != nil {
		s.sections(sections)
	}
	var all bytes.Buffer
	write(&all, header)
	write(&all, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Off: code, Vaddr: address, Filesz: sizes[0], Memsz: sizes[0]})
	all.Write(make([]byte, int(code)-all.Len()))
	all.Write(s.code)
	all.Write(symbols.Bytes())
	all.WriteString(names)
	all.WriteString(sectionNames)
	write(&all, sections)
	return all.Bytes()
}

func write(to *bytes.Buffer, value any) {
	if err := binary.Write(to, binary.LittleEndian, value); err != nil {
		panic(err)
	}
}

// sparse is a file of 8 EiB that is zero behind its content.
type sparse []byte

func (s sparse) ReadAt(p []byte, offset int64) (int, error) {
	clear(p)
	if offset < int64(len(s)) {
		copy(p, s[offset:])
	}
	return len(p), nil
}

// cheaply inspects a file within bounds of memory and time. The bound of the memory is exact, that
// of the time leaves room for a busy machine.
func cheaply(t *testing.T, file io.ReaderAt, megabytes uint64, limit time.Duration) (*Library, error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	found, err := bounded(file)
	taken := time.Since(begin)
	runtime.ReadMemStats(&after)
	assert.LessOrEqual(t, (after.TotalAlloc-before.TotalAlloc)>>20, megabytes, "MiB")
	assert.Less(t, taken, limit)
	return found, err
}

var back1 = []byte("\x90\xc3") // nop, ret

func TestSample(t *testing.T) {
	found, err := bounded(bytes.NewReader(sample{code: back1}.file()))
	require.NoError(t, err)
	assert.Equal(t, []Point{
		{Function: "SSL_write", Offset: sampleCode}, {Function: "SSL_write", End: true, Offset: sampleCode + 1, Stepped: true},
		{Function: "SSL_read", Offset: sampleCode}, {Function: "SSL_read", End: true, Offset: sampleCode + 1, Stepped: true},
	}, found.Points)
}

// Files of someone who wants to stop the attaching process, or to make it take time or memory.
func TestHostile(t *testing.T) {
	repeated := func(unit string, bytes int) []byte { return []byte(strings.Repeat(unit, bytes/len(unit))) }
	for name, test := range map[string]struct {
		sample
		sparse bool
		reason Reason
	}{
		"the stack pointer wraps":              {sample: sample{code: []byte("\x48\x81\xc4\xff\xff\xff\x7f\xeb\xfe")}, reason: Code},
		"code at the end of the address space": {reason: Symbols, sample: sample{address: 1<<64 - 16, code: repeated("\x90\xc3", 16)}},
		"code wraps around the address space":  {reason: Symbols, sample: sample{address: 1<<64 - 8, code: repeated("\x90\xc3", 16)}},
		"large headers of sections":            {sparse: true, reason: TooLarge, sample: sample{code: back1, header: func(h *elf.Header64) { h.Shnum, h.Shentsize = 0xfeff, 0xffff }}},
		"long headers of sections":             {sparse: true, reason: NotELF, sample: sample{code: back1, header: func(h *elf.Header64) { h.Shnum, h.Shentsize = 4096, 0xffff }}},
		"long headers of segments":             {sparse: true, reason: NotELF, sample: sample{code: back1, header: func(h *elf.Header64) { h.Phnum, h.Phentsize = 4096, 0xffff }}},
		"many headers of segments":             {sparse: true, reason: TooLarge, sample: sample{code: back1, header: func(h *elf.Header64) { h.Phnum = 0xffff }}},
		"the number of headers elsewhere": {sparse: true, reason: TooLarge, sample: sample{code: back1,
			header: func(h *elf.Header64) { h.Shnum = 0 }, sections: func(s []elf.Section64) { s[0].Size = 1 << 40 }}},
		"large names of sections": {sparse: true, reason: NotELF, sample: sample{code: back1, sections: func(s []elf.Section64) { s[sampleSectionNames].Size = 1 << 40 }}},
		"compressed names of sections": {reason: NotELF, sample: sample{code: back1,
			sections: func(s []elf.Section64) { s[sampleSectionNames].Flags = uint64(elf.SHF_COMPRESSED) }}},
		"a name many times":            {reason: Symbols, sample: sample{code: back1, names: strings.Repeat("SSL_read\x00", 5<<20)}},
		"many returns":                 {reason: Code, sample: sample{code: repeated("\xc3", longest)}},
		"many returns behind branches": {reason: Code, sample: sample{code: append(repeated("\x75\x00\xc3", longest-2), 0x0f, 0x0b)}},
		"a large function":             {reason: Symbols, sample: sample{code: repeated("\xc3", 1<<20)}},
	} {
		t.Run(name, func(t *testing.T) {
			content := test.file()
			var file io.ReaderAt = bytes.NewReader(content)
			if test.sparse {
				file = sparse(content)
			}
			_, err := cheaply(t, file, 32, 2*time.Second)
			assertReason(t, test.reason, err)
		})
	}
}

// A table of names that has no end is read as far as a large program needs it.
func TestEndless(t *testing.T) {
	file := sample{code: back1, sections: func(s []elf.Section64) { s[sampleNames].Size = 1 << 60 }}.file()
	_, err := cheaply(t, sparse(file), 32, 30*time.Second)
	assertReason(t, TooLarge, err)
}

func TestManyEnds(t *testing.T) {
	_, err := decodeFunction(&amd64, "f", start, nil, false)
	require.ErrorIs(t, err, errRange)
	for ends, fault := range map[int]error{mostEnds: nil, mostEnds + 1: errManyEnds} {
		f, err := decodeFunction(&amd64, "f", start, bytes.Repeat([]byte{0xc3}, ends), false)
		require.NoError(t, err)
		_, err = f.ends()
		assert.Equal(t, fault, err)
	}
	names := "SSL_write\x00SSL_read\x00SSL_write_ex\x00SSL_read_ex\x00SSL_peek\x00"
	_, err = bounded(bytes.NewReader(sample{code: bytes.Repeat([]byte{0xc3}, mostEnds), names: names}.file()))
	assertReason(t, TooLarge, err)
}

// The frame of a check of the stack protector must not wrap to a plausible one.
func TestFreedWraps(t *testing.T) {
	f, err := decodeFunction(&amd64, "f", start, assembled(t, `
		75 1d                ; jne to the call
		48 81 c4 ff ff ff 7f ; add $0x7fffffff,%rsp
		48 81 c4 ff ff ff 7f ; add $0x7fffffff,%rsp
		48 81 c4 02 00 00 00 ; add $2,%rsp
		90 90 90 90 90 90 90 ; nop
		c3                   ; ret
		e8 00 00 00 00       ; call, does not return`), false)
	require.NoError(t, err)
	ends, err := f.ends()
	require.NoError(t, err)
	assert.Equal(t, []site{{start + 30, 0, true}}, ends)
}

// Go's tables that are compressed have no content that could be read.
func TestCompressedTable(t *testing.T) {
	file := build(t, program, nil)
	content, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	offset := binary.LittleEndian.Uint64(content[40:])
	parsed, err := elf.NewFile(file)
	require.NoError(t, err)
	for n, s := range parsed.Sections {
		if s.Name == ".gopclntab" {
			content[offset+uint64(n)*64+9] |= byte(elf.SHF_COMPRESSED >> 8)
		}
	}
	_, err = bounded(bytes.NewReader(content))
	assertReason(t, Symbols, err)
}

type faulty struct{}

func (faulty) ReadAt([]byte, int64) (int, error) { panic(strings.Repeat("long ", 100)) }

func TestLastResort(t *testing.T) {
	_, err := Inspect(faulty{})
	assertReason(t, NotELF, err)
	assert.Less(t, len(err.Error()), largestText+20)
}

func FuzzInspect(f *testing.F) {
	f.Add(sample{code: back1}.file())
	f.Add(sample{code: []byte("\x48\x81\xc4\xff\xff\xff\x7f\xeb\xfe")}.file())
	f.Add(sample{code: back1, names: strings.Repeat("SSL_read\x00", 100)}.file())
	f.Add(sample{code: bytes.Repeat([]byte("\x75\x00\xc3"), 1000), address: 1<<64 - 0x1000}.file())
	f.Add(linked(f))
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, file := range []io.ReaderAt{bytes.NewReader(content), io.NewSectionReader(sparse(content), 0, 64<<20)} {
			found, err := cheaply(t, file, 64, 5*time.Second)
			if err != nil {
				continue
			}
			assert.LessOrEqual(t, len(found.Points), mostPoints)
			for _, p := range found.Points {
				assert.Less(t, p.Offset, uint64(64<<20))
			}
		}
	})
}

// linked returns a small library with the functions.
func linked(f *testing.F) []byte {
	f.Helper()
	path := filepath.Join(f.TempDir(), "library")
	source := "int SSL_write(int *s, void *b, int n) { return n < 0 ? -1 : *s; }\nint SSL_read(int *s, void *b, int n) { return n < 0 ? -1 : *s; }\n"
	require.NoError(f, os.WriteFile(path+".c", []byte(source), 0o600))
	output, err := exec.Command("gcc", "-O2", "-shared", "-nostdlib", "-s", "-o", path, path+".c").CombinedOutput()
	require.NoError(f, err, "%s", output)
	content, err := os.ReadFile(path)
	require.NoError(f, err)
	return content
}
