package library

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Functions of Go's crypto/tls. Their arguments are the connection, and the pointer and the length
// of the buffer.
var golangFunctions = []wanted{
	{name: "crypto/tls.(*Conn).Write", arguments: 3},
	{name: "crypto/tls.(*Conn).Read", arguments: 3},
}

// firstGo is the oldest minor version of Go 1 that is observed.
const firstGo = 20

// golang finds the functions of crypto/tls. It returns nil for files that are not of Go, or of Go
// without crypto/tls, which may use OpenSSL by cgo.
func (i *image) golang() (*Library, error) {
	version, err := i.goVersion()
	if version == "" || err != nil {
		return nil, err
	}
	table, err := i.functionTable()
	if err != nil {
		return nil, err
	}
	symbols, err := table.find(golangFunctions)
	if err != nil {
		return nil, err
	}
	if len(symbols) == 0 {
		return nil, nil //nolint:nilnil // it does no TLS
	}
	if !supported(version) {
		return nil, &Refusal{Reason: OldGo, Detail: version}
	}
	for _, text := range table.texts {
		found := &Library{Kind: Go, Version: version}
		for _, f := range golangFunctions {
			s := symbols[f.name]
			s.address += text
			if err := i.add(found, f, s); err != nil {
				return nil, err
			}
		}
		if len(found.Refused) == 0 {
			return found, nil
		}
		err = &found.Refused[0]
	}
	return nil, err
}

// goVersion returns the version of Go that built the file, or "" if none did. The section that it is in
// begins with a header of 32 bytes (cmd/link/internal/ld/data.go, buildinfo). From Go 1.18 on the
// version follows, behind its length. Package buildinfo is not used, because it reads without bound.
func (i *image) goVersion() (string, error) {
	section := i.section(".go.buildinfo")
	if section == nil {
		return "", nil
	}
	content := make([]byte, min(section.size, 4<<10))
	if err := read(section.data, content, 0); err != nil {
		return "", err
	}
	const header = 32
	if len(content) <= header || !bytes.HasPrefix(content, []byte("\xff Go buildinf:")) {
		return "", nil
	}
	if content[15]&2 == 0 {
		return "before go1.18", nil
	}
	length, n := binary.Uvarint(content[header:])
	if n <= 0 || length > uint64(len(content)-header-n) {
		return "", nil
	}
	return string(content[header+n:][:length]), nil
}

// supported reports whether the arguments of a version of Go are in registers as expected.
func supported(version string) bool {
	_, minor, ok := strings.Cut(version, "go1.")
	digits := strings.IndexFunc(minor, func(r rune) bool { return r < '0' || r > '9' })
	if digits >= 0 {
		minor = minor[:digits]
	}
	n, err := strconv.Atoi(minor)
	return ok && err == nil && n >= firstGo
}

// functionTable is Go's table of functions, which remains in stripped programs (runtime/symtab.go,
// pcHeader): names, and for each function its place relative to the start of the code.
type functionTable struct {
	io.ReaderAt
	size      uint64 // in bytes
	names     uint64 // offset of the names
	functions uint64 // offset of the list, and of what its entries point at
	count     uint64
	texts     []uint64 // where the code may start
}

// pcHeader of Go 1.20 on begins with this.
const magic = 0xfffffff1

const headerSize = 72

// moduleText is the offset of text in the description of a module (runtime/symtab.go, moduledata):
// behind a pointer, six slices and three pointers.
const moduleText = 8 + 6*24 + 3*8

func (i *image) functionTable() (table *functionTable, err error) {
	section := i.section(".gopclntab")
	if section == nil {
		section = i.section(".data.rel.ro.gopclntab")
	}
	if section == nil {
		return nil, &Refusal{Reason: Symbols, Detail: "Go's table of functions is missing"}
	}
	var header [headerSize]byte
	if err := read(section.data, header[:], 0); err != nil {
		return nil, err
	}
	word := func(n int) uint64 { return binary.LittleEndian.Uint64(header[8+8*n:]) }
	if first := binary.LittleEndian.Uint32(header[:]); first != magic || header[7] != 8 {
		return nil, &Refusal{Reason: OldGo, Detail: fmt.Sprintf("its table of functions begins with %#x", first)}
	}
	table = &functionTable{ReaderAt: section.data, size: section.size, count: word(0), names: word(3), functions: word(7)}
	if table.names > table.size || table.functions > table.size || table.count > (table.size-table.functions)/8 {
		return nil, &Refusal{Reason: Symbols, Detail: "Go's table of functions is damaged"}
	}
	if table.texts, err = i.texts(word(2)); err != nil {
		return nil, err
	}
	return table, nil
}

// texts returns where Go's code may start; the code there is the proof. It is in the header up to
// Go 1.25 and in the description of the module from 1.26 on. In programs that are loaded anywhere
// neither may have its value in the file, but these begin with Go's code if Go linked them.
func (i *image) texts(header uint64) ([]uint64, error) {
	var all []uint64
	if header != 0 {
		all = append(all, header)
	}
	if module := i.section(".go.module"); module != nil && module.size >= moduleText+8 {
		var word [8]byte
		if err := read(module.data, word[:], moduleText); err != nil {
			return nil, err
		}
		all = append(all, binary.LittleEndian.Uint64(word[:]))
	}
	if text := i.section(".text"); text != nil {
		all = append(all, text.address)
	}
	return all, nil
}

// find returns the functions that exist; their addresses are relative to the start of the code.
func (t *functionTable) find(functions []wanted) (map[string]symbol, error) {
	names := make([]string, len(functions))
	for n, f := range functions {
		names[n] = f.name
	}
	places, err := locate(io.NewSectionReader(t, int64(t.names), int64(t.functions-min(t.names, t.functions))), t.functions-min(t.names, t.functions), names)
	if err != nil || len(places) == 0 {
		return nil, err
	}
	// Each entry of the list is the place of a function, and that of its record, whose second word is
	// the place of the name.
	found := map[string]symbol{}
	records := window{from: t}
	pending := ""
	var failure error
	err = walk(io.NewSectionReader(t, int64(t.functions), int64(t.size-t.functions)), (t.count+1)*8, 8, func(number uint64, entry []byte) bool {
		place := uint64(binary.LittleEndian.Uint32(entry))
		if pending != "" { // a function extends to the next one
			s := found[pending]
			s.size = place - s.address
			found[pending], pending = s, ""
		}
		if number == t.count || len(found) == len(functions) {
			return false
		}
		record, err := records.word(t.functions + uint64(binary.LittleEndian.Uint32(entry[4:])) + 4)
		if err != nil {
			failure = err
			return false
		}
		if name, ok := places[uint64(record)]; ok {
			found[name], pending = symbol{address: place, golang: true}, name
		}
		return true
	})
	if err == nil {
		err = failure
	}
	return found, err
}

// window reads words that stand near each other.
type window struct {
	from   io.ReaderAt
	base   uint64
	loaded []byte
}

func (w *window) word(offset uint64) (uint32, error) {
	if offset < w.base || offset+4 > w.base+uint64(len(w.loaded)) {
		if w.loaded == nil {
			w.loaded = make([]byte, piece)
		}
		w.base, w.loaded = offset, w.loaded[:cap(w.loaded)]
		n, err := w.from.ReadAt(w.loaded, int64(offset))
		w.loaded = w.loaded[:n]
		switch {
		case n >= 4:
		case errors.Is(err, io.EOF):
			return 0, &Refusal{Reason: Symbols, Detail: "Go's table of functions is damaged"}
		default:
			return 0, fmt.Errorf("read file: %w", err)
		}
	}
	return binary.LittleEndian.Uint32(w.loaded[offset-w.base:]), nil
}
