package library

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/arch/x86/x86asm"
)

// Counters are where a BIO of OpenSSL counts the bytes that were read from it and written to it, by
// the distance from its address in bytes; 0 where that is not known. They are below mostDistance.
type Counters struct{ Read, Written uint16 }

// The functions that return them.
const (
	readCounter    = "BIO_number_read"
	writtenCounter = "BIO_number_written"
)

// mostDistance bounds the distance of a counter. In OpenSSL it is about 100.
const mostDistance = 2048

// longestAccessor is the size of the longest function that is taken for one that returns a field.
const longestAccessor = 64

// counters returns the counters of BIOs. It returns an error only if the file cannot be read: without
// counters less of what is lost can be found.
func (i *image) counters(symbols map[string]symbol) (c Counters, err error) {
	for name, counter := range map[string]*uint16{readCounter: &c.Read, writtenCounter: &c.Written} {
		s, ok := symbols[name]
		if !ok || s.size == 0 || s.size > longestAccessor {
			continue
		}
		code, _, err := i.code(s.address, s.size)
		if err != nil {
			return Counters{}, err
		}
		*counter = i.machine.field(code)
	}
	return c, nil
}

// fieldAMD64 returns the distance of the field of 8 bytes that a function returns of its argument, 0
// if that is not all that it does.
func fieldAMD64(code []byte) uint16 {
	distance := uint16(0)
	for len(code) > 0 {
		if bytes.HasPrefix(code, endBranch) {
			code = code[len(endBranch):]
			continue
		}
		decoded, err := x86asm.Decode(code[:min(len(code), longestAMD64)], 64)
		if err != nil || decoded.Op == 0 {
			return 0
		}
		code = code[decoded.Len:]
		memory, loads := decoded.Args[1].(x86asm.Mem)
		switch {
		case decoded.Op == x86asm.MOV && loads:
			if distance != 0 || decoded.Args[0] != x86asm.RAX || memory.Base != x86asm.RDI || memory.Index != 0 || memory.Segment != 0 ||
				memory.Disp <= 0 || memory.Disp >= mostDistance || memory.Disp%8 != 0 {
				return 0
			}
			distance = uint16(memory.Disp)
		case decoded.Op == x86asm.XOR && decoded.Args[0] == decoded.Args[1]: // it becomes 0
		case decoded.Op == x86asm.TEST && decoded.Args[0] == decoded.Args[1], decoded.Op == x86asm.JE, decoded.Op == x86asm.JNE,
			decoded.Op == x86asm.NOP, decoded.Op == x86asm.RET:
		default:
			return 0
		}
	}
	return distance
}

// fieldARM64 is fieldAMD64 for this machine.
func fieldARM64(code []byte) uint16 {
	distance := uint16(0)
	for ; len(code) >= 4; code = code[4:] {
		switch w := binary.LittleEndian.Uint32(code); {
		case w&0xffc003ff == 0xf9400000: // ldr x0, [x0, #n]
			n := uint16(w >> 10 & 0xfff * 8)
			if distance != 0 || n == 0 || n >= mostDistance {
				return 0
			}
			distance = n
		case w&0xfe00001f == 0xb4000000: // cbz, cbnz x0
		case w == 0xd2800000: // mov x0, #0
		case w == 0xd65f03c0, w&0xfffff01f == 0xd503201f: // ret, hints
		default:
			return 0
		}
	}
	return distance
}
