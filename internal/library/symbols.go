package library

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// symbol is where a function stands in memory.
type symbol struct {
	address uint64
	size    uint64 // in bytes
	golang  bool
}

// piece is how much of a file is read at a time, in bytes.
const piece = 256 << 10

// largestTable is the size in bytes of the largest table of symbols or names that is read. That of a
// program of 1 GiB has 100 MiB.
const largestTable = 512 << 20

// symbols finds functions by their names in the tables of symbols. A table can have 100 MB, so it is
// not kept: first the places of the names are looked up in the table of names, then the symbols that
// point there.
func (i *image) symbols(names []string) (map[string]symbol, error) {
	found := map[string]symbol{}
	for _, table := range i.Sections {
		if table.Type != elf.SHT_DYNSYM && table.Type != elf.SHT_SYMTAB || int(table.Link) >= len(i.Sections) {
			continue
		}
		if err := i.symbolsOf(table, i.Sections[table.Link], names, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (i *image) symbolsOf(table, strings *elf.Section, names []string, found map[string]symbol) error {
	if table.Type == elf.SHT_NOBITS || strings.Type != elf.SHT_STRTAB || table.Flags&elf.SHF_COMPRESSED != 0 || strings.Flags&elf.SHF_COMPRESSED != 0 {
		return nil
	}
	if table.Size > largestTable || strings.Size > largestTable {
		return &Refusal{Reason: Symbols, Detail: "a table of symbols is too large"}
	}
	places, err := locate(strings, strings.Size, names)
	if err != nil || len(places) == 0 {
		return err
	}
	return walk(table, table.Size, elf.Sym64Size, func(_ uint64, entry []byte) bool {
		name, ok := places[uint64(binary.LittleEndian.Uint32(entry))]
		if !ok || elf.ST_TYPE(entry[4]) != elf.STT_FUNC || elf.ST_BIND(entry[4]) == elf.STB_LOCAL {
			return true
		}
		section := elf.SectionIndex(binary.LittleEndian.Uint16(entry[6:]))
		if _, known := found[name]; !known && section != elf.SHN_UNDEF {
			found[name] = symbol{address: binary.LittleEndian.Uint64(entry[8:]), size: binary.LittleEndian.Uint64(entry[16:])}
		}
		return true
	})
}

// locate returns the offsets at which names stand in a table of names, which end with a zero byte
// each. A name can be the end of a longer one.
func locate(table io.ReaderAt, size uint64, names []string) (map[uint64]string, error) {
	places := map[uint64]string{}
	overlap := 0
	for _, name := range names {
		overlap = max(overlap, len(name)+1)
	}
	buffer := make([]byte, piece+overlap)
	for base := uint64(0); base < size; base += piece {
		part := buffer[:min(uint64(len(buffer)), size-base)]
		if err := read(table, part, base); err != nil {
			return nil, err
		}
		for _, name := range names {
			pattern := append([]byte(name), 0)
			for at := 0; ; {
				n := bytes.Index(part[at:], pattern)
				if n < 0 {
					break
				}
				places[base+uint64(at+n)] = name
				at += n + 1
			}
		}
	}
	return places, nil
}

// walk calls visit with each entry of a table of entries of equal size, until it returns false.
func walk(table io.ReaderAt, size, entry uint64, visit func(number uint64, entry []byte) bool) error {
	buffer := make([]byte, piece/entry*entry)
	size -= size % entry
	for base := uint64(0); base < size; base += uint64(len(buffer)) {
		part := buffer[:min(uint64(len(buffer)), size-base)]
		if err := read(table, part, base); err != nil {
			return err
		}
		for at := uint64(0); at < uint64(len(part)); at += entry {
			if !visit((base+at)/entry, part[at:at+entry]) {
				return nil
			}
		}
	}
	return nil
}

// read fills a buffer. A file that is shorter than its headers say is refused.
func read(from io.ReaderAt, buffer []byte, offset uint64) error {
	n, err := from.ReadAt(buffer, int64(offset))
	switch {
	case n == len(buffer):
		return nil
	case errors.Is(err, io.EOF):
		return &Refusal{Reason: NotELF, Detail: "it is shorter than its headers say"}
	default:
		return fmt.Errorf("read file: %w", err)
	}
}
