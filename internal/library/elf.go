package library

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// Package elf is used for its types and constants only. Its reader is meant for files that are
// trusted: it takes the sizes of the tables from the file, expands compressed names, and copies a
// name for each section.

// Bounds of what is read from a file. The programs and libraries of distributions have less than
// 50 headers of each kind and 1 KiB of names.
const (
	most         = 4096      // headers of sections, and of segments
	largestNames = 64 << 10  // bytes of names of sections
	largestRead  = 512 << 20 // bytes in all; a program of 1 GiB has 100 MiB of symbols
)

// meter reads a file until it has read largestRead bytes. Files can be sparse, so their size is no
// bound for the time that it takes to read them.
type meter struct {
	file io.ReaderAt
	left int // bytes
}

func (m *meter) ReadAt(p []byte, offset int64) (int, error) {
	if len(p) > m.left {
		return 0, &Refusal{Reason: TooLarge, Detail: fmt.Sprintf("more than %d bytes of it have to be read", largestRead)}
	}
	m.left -= len(p)
	return m.file.ReadAt(p, offset)
}

// read fills a buffer. A file that is shorter than its headers say is refused.
func read(from io.ReaderAt, buffer []byte, offset uint64) error {
	if offset > math.MaxInt64 {
		return errShort()
	}
	n, err := from.ReadAt(buffer, int64(offset))
	var refusal *Refusal
	switch {
	case n == len(buffer):
		return nil
	case errors.Is(err, io.EOF):
		return errShort()
	case errors.As(err, &refusal):
		return refusal
	default:
		return fmt.Errorf("read file: %w", err)
	}
}

func errShort() error {
	return &Refusal{Reason: NotELF, Detail: "it is shorter than its headers say"}
}

// image is an ELF file of a supported machine. Its headers are read once, because the file may
// change at any time.
type image struct {
	machine  *machine
	file     io.ReaderAt
	segments []elf.Prog64
	sections []section
}

type section struct {
	name    string
	kind    elf.SectionType
	link    uint32 // index of the section with the names of symbols
	address uint64
	size    uint64            // in bytes
	data    *io.SectionReader // nil if it is compressed, or not in the file
}

// open reads the headers.
func open(file io.ReaderAt) (*image, error) {
	raw := make([]byte, binary.Size(elf.Header64{}))
	n, err := file.ReadAt(raw, 0)
	switch {
	case n < len(raw) && !errors.Is(err, io.EOF):
		return nil, read(file, raw, 0)
	case n < 20 || !bytes.HasPrefix(raw, []byte(elf.ELFMAG)):
		return nil, &Refusal{Reason: NotELF, Detail: "it does not begin as an ELF file"}
	}
	image := &image{file: file}
	class, data, kind := elf.Class(raw[elf.EI_CLASS]), elf.Data(raw[elf.EI_DATA]), elf.Machine(binary.LittleEndian.Uint16(raw[18:]))
	switch {
	case class != elf.ELFCLASS64 || data != elf.ELFDATA2LSB:
		return nil, &Refusal{Reason: Machine, Detail: fmt.Sprintf("%s, %s", class, data)}
	case kind == elf.EM_X86_64:
		image.machine = &amd64
	case kind == elf.EM_AARCH64:
		image.machine = &arm64
	default:
		return nil, &Refusal{Reason: Machine, Detail: kind.String()}
	}
	if n < len(raw) {
		return nil, errShort()
	}
	var header elf.Header64
	if _, err := binary.Decode(raw, binary.LittleEndian, &header); err != nil {
		return nil, fmt.Errorf("decode header: %w", err)
	}
	if image.segments, err = headers[elf.Prog64](file, header.Phoff, header.Phnum, header.Phentsize); err != nil {
		return nil, err
	}
	if header.Shnum == 0 && header.Shoff != 0 { // the number is elsewhere, because it is large
		return nil, errHeaders()
	}
	list, err := headers[elf.Section64](file, header.Shoff, header.Shnum, header.Shentsize)
	if err != nil {
		return nil, err
	}
	return image, image.setSections(list, int(header.Shstrndx))
}

// headers reads the headers of segments or sections.
func headers[T any](file io.ReaderAt, offset uint64, count, size uint16) ([]T, error) {
	if count > most {
		return nil, errHeaders()
	}
	list := make([]T, count)
	if count > 0 && int(size) != binary.Size(list[0]) {
		return nil, &Refusal{Reason: NotELF, Detail: fmt.Sprintf("its headers have %d bytes each", size)}
	}
	raw := make([]byte, binary.Size(list))
	if err := read(file, raw, offset); err != nil {
		return nil, err
	}
	if _, err := binary.Decode(raw, binary.LittleEndian, list); err != nil {
		return nil, fmt.Errorf("decode headers: %w", err)
	}
	return list, nil
}

func errHeaders() error {
	return &Refusal{Reason: TooLarge, Detail: fmt.Sprintf("it has more than %d headers of sections or segments", most)}
}

// setSections sets the sections. names is the index of the section with their names, 0 for none.
func (i *image) setSections(list []elf.Section64, names int) error {
	i.sections = make([]section, len(list))
	for n, h := range list {
		s := section{kind: elf.SectionType(h.Type), link: h.Link, address: h.Addr, size: h.Size}
		if s.kind != elf.SHT_NOBITS && h.Flags&uint64(elf.SHF_COMPRESSED) == 0 && h.Size <= math.MaxInt64 && h.Off <= math.MaxInt64 {
			s.data = io.NewSectionReader(i.file, int64(h.Off), int64(h.Size))
		}
		i.sections[n] = s
	}
	if names == 0 {
		return nil
	}
	if names >= len(list) || i.sections[names].data == nil || i.sections[names].size > largestNames {
		return &Refusal{Reason: NotELF, Detail: "it has no usable names of sections"}
	}
	raw := make([]byte, i.sections[names].size)
	if err := read(i.sections[names].data, raw, 0); err != nil {
		return err
	}
	all := string(raw)
	for n, h := range list {
		if uint64(h.Name) < uint64(len(all)) {
			i.sections[n].name, _, _ = strings.Cut(all[h.Name:], "\x00") // shares the memory of all
		}
	}
	return nil
}

// section returns the first section of a name that is in the file, or nil.
func (i *image) section(name string) *section {
	for n := range i.sections {
		if s := &i.sections[n]; s.name == name && s.data != nil {
			return s
		}
	}
	return nil
}

// code reads a function. It returns nil if the file has no code there. offset is where it stands in
// the file, in bytes.
func (i *image) code(address, size uint64) (code []byte, offset uint64, err error) {
	if address+size < address {
		return nil, 0, nil
	}
	for _, s := range i.segments {
		if elf.ProgType(s.Type) != elf.PT_LOAD || elf.ProgFlag(s.Flags)&elf.PF_X == 0 || s.Off > math.MaxInt64 ||
			address < s.Vaddr || address-s.Vaddr > s.Filesz || size > s.Filesz-(address-s.Vaddr) {
			continue
		}
		code, offset = make([]byte, size), s.Off+(address-s.Vaddr)
		if offset < s.Off {
			return nil, 0, nil
		}
		return code, offset, read(i.file, code, offset)
	}
	return nil, 0, nil
}
