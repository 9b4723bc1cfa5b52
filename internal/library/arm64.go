package library

import "encoding/binary"

var arm64 = machine{
	decode: decodeARM64,
	field:  fieldARM64,
	c:      convention{arguments: set(0, 1, 2, 3, 4), result: 1 << 0},
	golang: convention{arguments: set(0, 1, 2), result: 1 << 0},
}

// decodeARM64 decodes what matters of an instruction by its bits, as the kernel does
// (arch/arm64/kernel/probes/decode-insn.c). All instructions have four bytes, so one that it does
// not recognise cannot hide others; of such a one it assumes the worst.
func decodeARM64(code []byte, address uint64) (instruction, error) {
	if len(code) < 4 || address%4 != 0 {
		return instruction{}, errDecode
	}
	w := binary.LittleEndian.Uint32(code)
	i := instruction{address: address, size: 4, framing: true}
	relative := func(bits, shift int) uint64 { // a signed number of words
		return address + uint64(int64(int32(w<<(32-bits-shift))>>(32-bits))*4)
	}
	switch {
	case w&0xfc000000 == 0x14000000: // b
		i.flow, i.emulated, i.target = jump, true, relative(26, 0)
	case w&0xfc000000 == 0x94000000: // bl
		i.flow, i.target, i.writes = call, relative(26, 0), everyRegister
	case w&0xff000010 == 0x54000000, w&0x7e000000 == 0x34000000: // b.cond, cbz, cbnz
		i.flow, i.emulated, i.target = branch, true, relative(19, 5)
	case w&0x7e000000 == 0x36000000: // tbz, tbnz
		i.flow, i.emulated, i.target = branch, true, relative(14, 5)
	case w&0xfffffc1f == 0xd63f0000: // blr
		i.flow, i.writes = call, everyRegister
	case w&0xfffffc1f == 0xd65f0000: // ret
		i.flow, i.emulated = back, true
	case w&0xfe000000 == 0xd6000000: // br, and those with pointer authentication, which the kernel refuses
		i.flow, i.unfit = indirect, true
	case w>>16 == 0, w&0xff000000 == 0xd4000000: // udf, brk, svc and the like
		i.flow, i.unfit, i.writes = nowhere, true, everyRegister
	case w&0x1f000000 == 0x10000000: // adr, adrp
		i.emulated, i.writes = true, 1<<(w&31)
	case w&0x3b000000 == 0x18000000: // load of a constant in the code
		i.literal = relative(19, 5)
		i.writes = 1 << (w & 31)
	case w&0xfffff01f == 0xd503201f: // hints: nop, bti, paciasp
	default:
		i.effectsARM64(w)
	}
	return i, nil
}

// effectsARM64 sets what an instruction other than those of flow does to registers and to the stack
// pointer, which as an operand has the number 31, as has the register that is always zero.
func (i *instruction) effectsARM64(w uint32) {
	const base = 31 << 5 // the stack pointer is the base, or the first operand
	switch {
	case w&0xff8003ff == 0xd100001f|base: // sub sp, sp, #n
		i.frame = int32(w>>10&0xfff) << (w >> 22 & 1 * 12)
	case w&0xff8003ff == 0x9100001f|base: // add sp, sp, #n
		i.frame = -(int32(w>>10&0xfff) << (w >> 22 & 1 * 12))
	case w&0xffc003e0 == 0xa9800000|base, w&0xffc003e0 == 0x6d800000|base: // stp a, b, [sp, #-n]!
		i.frame = -(int32(w<<10) >> 25 * 8)
	case w&0xffe00fe0 == 0xf8000c00|base: // str a, [sp, #-n]!
		i.frame = -(int32(w<<11) >> 23)
	case w&0xffc003e0 == 0xa8c00000|base, w&0xffc003e0 == 0x6cc00000|base: // ldp a, b, [sp], #n
		i.frame = -(int32(w<<10) >> 25 * 8)
		i.writes = 1<<(w&31) | 1<<(w>>10&31)
	case w&0xffe00fe0 == 0xf8400400|base: // ldr a, [sp], #n
		i.frame = -(int32(w<<11) >> 23)
		i.writes = 1 << (w & 31)
	case w&0x3e000000 == 0x28000000 && w&(1<<22) == 0: // other stores of two registers
		i.framing = w&(1<<23) == 0 || w>>5&31 != 31
		i.writes = writeBack(w, w&(1<<23) != 0)
	case w&0x3e000000 == 0x38000000 && w>>22&3 == 0: // stores of one register; with an offset in a register, or changing the base
		i.writes = writeBack(w, w&(1<<21) == 0 && w>>10&1 == 1)
		i.framing = i.writes&(1<<31) == 0
	case w&0x3f000000 == 0x39000000 && w>>22&3 == 0: // stores of one register
	case w&0x7f80001f == 0x7100001f, w&0x7fc0001f == 0x6b00001f: // cmp
	case w&0x1f000000 == 0x11000000: // add, sub of a number
		i.writes = 1 << (w & 31)
		i.framing = i.writes&(1<<31) == 0
	case w&0x1f800000 == 0x12800000: // mov of a number
		i.writes = 1 << (w & 31)
	case w&0x7fe0ffe0 == 0x2a0003e0: // mov of a register
		i.writes = 1 << (w & 31)
	case w&0x3f400000 == 0x39400000: // loads of one register with an offset
		i.writes = 1 << (w & 31)
	case w&0x7fe00c00 == 0x1a800000: // csel
		i.writes = 1 << (w & 31)
	case w&0x7f200000 == 0x6b000000: // subs of registers
		i.writes = 1 << (w & 31)
	default:
		i.writes = everyRegister
		i.framing = w&31 != 31 && w>>5&31 != 31
	}
}

// writeBack returns the base register of a load or store that changes it.
func writeBack(w uint32, changes bool) registers {
	if changes {
		return 1 << (w >> 5 & 31)
	}
	return 0
}
