package library

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
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

// mostPlaces is how often a name may stand in a table of names.
const mostPlaces = 64

// symbols finds functions by their names in the tables of symbols. A table can have 100 MB, so it is
// not kept: first the places of the names are looked up in the table of names, then the symbols that
// point there.
func (i *image) symbols(names []string) (map[string]symbol, error) {
	found := map[string]symbol{}
	for _, table := range i.sections {
		if table.kind != elf.SHT_DYNSYM && table.kind != elf.SHT_SYMTAB || table.data == nil || int64(table.link) >= int64(len(i.sections)) {
			continue
		}
		if err := symbolsOf(table, i.sections[table.link], names, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func symbolsOf(table, strings section, names []string, found map[string]symbol) error {
	if strings.kind != elf.SHT_STRTAB || strings.data == nil {
		return nil
	}
	places, err := locate(strings.data, strings.size, names)
	if err != nil || len(places) == 0 {
		return err
	}
	return walk(table.data, table.size, elf.Sym64Size, func(_ uint64, entry []byte) bool {
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
	places, counts := map[uint64]string{}, make([]int, len(names))
	overlap := 0
	for _, name := range names {
		overlap = max(overlap, len(name)+1)
	}
	buffer := make([]byte, min(size, uint64(piece+overlap)))
	for base := uint64(0); base < size; base += piece {
		part := buffer[:min(uint64(len(buffer)), size-base)]
		if err := read(table, part, base); err != nil {
			return nil, err
		}
		for number, name := range names {
			pattern := append([]byte(name), 0)
			for at := 0; ; {
				n := bytes.Index(part[at:], pattern)
				if n < 0 {
					break
				}
				if counts[number]++; counts[number] > mostPlaces {
					return nil, &Refusal{Reason: Symbols, Function: name, Detail: fmt.Sprintf("more than %d names end like it", mostPlaces)}
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
	size -= size % entry
	buffer := make([]byte, min(size, piece/entry*entry))
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
