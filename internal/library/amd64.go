package library

import (
	"bytes"

	"golang.org/x/arch/x86/x86asm"
)

// Numbers of registers.
const (
	ax, cx, dx, bx, sp = 0, 1, 2, 3, 4
	si, di, r8, r14    = 6, 7, 8, 14
)

var amd64 = machine{
	decode: decodeAMD64,
	field:  fieldAMD64,
	pad:    0xcc,
	c:      convention{arguments: set(di, si, dx, cx, r8), result: 1 << ax},
	golang: convention{arguments: set(ax, bx, cx), result: 1 << ax},
}

// set returns sets of one register each.
func set(numbers ...int) []registers {
	sets := make([]registers, len(numbers))
	for i, n := range numbers {
		sets[i] = 1 << n
	}
	return sets
}

// endBranch is ENDBR64, which package x86asm does not decode.
var endBranch = []byte{0xf3, 0x0f, 0x1e, 0xfa}

// longestAMD64 is the size of the longest instruction in bytes.
const longestAMD64 = 15

func decodeAMD64(code []byte, address uint64) (instruction, error) {
	i := instruction{address: address, framing: true}
	if bytes.HasPrefix(code, endBranch) {
		i.size = uint8(len(endBranch))
		return i, nil
	}
	code = code[:min(len(code), longestAMD64)]
	decoded, err := x86asm.Decode(code, 64)
	if err != nil || decoded.Op == 0 {
		return instruction{}, errDecode
	}
	i.size = uint8(decoded.Len)
	i.emulated = emulatedAMD64(code[:decoded.Len])
	i.flowAMD64(&decoded)
	i.effectsAMD64(&decoded)
	return i, nil
}

// emulatedAMD64 reports whether the kernel emulates an instruction (arch/x86/kernel/uprobes.c):
// push of a register, nop of one byte, jumps and branches without prefixes. It emulates calls too,
// but not the shadow stack of programs that have one before Linux 6.18.
func emulatedAMD64(code []byte) bool {
	switch first := code[0]; {
	case first >= 0x50 && first <= 0x57, first == 0x90, first >= 0x70 && first <= 0x7f, first == 0xeb, first == 0xe9:
		return true
	case first == 0x41:
		return len(code) == 2 && code[1] >= 0x50 && code[1] <= 0x57
	case first == 0x0f:
		return len(code) == 6 && code[1] >= 0x80 && code[1] <= 0x8f
	default:
		return false
	}
}

func (i *instruction) flowAMD64(decoded *x86asm.Inst) {
	switch decoded.Op {
	case x86asm.JMP:
		i.flow = jump
	case x86asm.CALL:
		i.flow = call
	case x86asm.RET:
		i.flow = back
	case x86asm.UD2, x86asm.UD1, x86asm.HLT, x86asm.INT:
		i.flow = nowhere
	case x86asm.LRET, x86asm.IRET, x86asm.IRETD, x86asm.IRETQ, x86asm.LJMP, x86asm.LCALL, x86asm.SYSRET, x86asm.SYSEXIT:
		i.flow = indirect
	default:
		if conditional[decoded.Op] {
			i.flow = branch
		}
	}
	if i.flow == branch || i.flow == jump || i.flow == call {
		relative, ok := decoded.Args[0].(x86asm.Rel)
		switch {
		case ok:
			i.target = i.next() + uint64(int64(relative))
		case i.flow == jump:
			i.flow = indirect
		}
	}
}

var conditional = opcodes(x86asm.JA, x86asm.JAE, x86asm.JB, x86asm.JBE, x86asm.JCXZ, x86asm.JE, x86asm.JECXZ, x86asm.JG, x86asm.JGE,
	x86asm.JL, x86asm.JLE, x86asm.JNE, x86asm.JNO, x86asm.JNP, x86asm.JNS, x86asm.JO, x86asm.JP, x86asm.JRCXZ, x86asm.JS,
	x86asm.LOOP, x86asm.LOOPE, x86asm.LOOPNE)

// harmless change no general register, but for the stack pointer.
var harmless = opcodes(x86asm.CMP, x86asm.TEST, x86asm.NOP, x86asm.BT, x86asm.PUSH, x86asm.JMP, x86asm.RET, x86asm.PREFETCHT0,
	x86asm.PREFETCHNTA, x86asm.UD1, x86asm.UD2, x86asm.HLT, x86asm.INT, x86asm.COMISD, x86asm.COMISS, x86asm.UCOMISD, x86asm.UCOMISS)

// plain change their first operand, and no other general register.
var plain = opcodes(x86asm.MOV, x86asm.MOVSXD, x86asm.MOVSX, x86asm.MOVZX, x86asm.LEA, x86asm.ADD, x86asm.SUB, x86asm.XOR, x86asm.AND,
	x86asm.OR, x86asm.ADC, x86asm.SBB, x86asm.SHL, x86asm.SHR, x86asm.SAR, x86asm.ROL, x86asm.ROR, x86asm.NEG, x86asm.NOT, x86asm.INC,
	x86asm.DEC, x86asm.POP, x86asm.BSWAP, x86asm.BTS, x86asm.BTR, x86asm.BTC, x86asm.BSF, x86asm.BSR,
	x86asm.MOVUPS, x86asm.MOVUPD, x86asm.MOVAPS, x86asm.MOVAPD, x86asm.MOVQ, x86asm.MOVD, x86asm.MOVDQA, x86asm.MOVDQU,
	x86asm.MOVHPS, x86asm.MOVLPS, x86asm.MOVSS, x86asm.XORPS, x86asm.XORPD, x86asm.PXOR, x86asm.PUNPCKLQDQ,
	x86asm.CMOVA, x86asm.CMOVAE, x86asm.CMOVB, x86asm.CMOVBE, x86asm.CMOVE, x86asm.CMOVG, x86asm.CMOVGE, x86asm.CMOVL, x86asm.CMOVLE,
	x86asm.CMOVNE, x86asm.CMOVNO, x86asm.CMOVNP, x86asm.CMOVNS, x86asm.CMOVO, x86asm.CMOVP, x86asm.CMOVS,
	x86asm.SETA, x86asm.SETAE, x86asm.SETB, x86asm.SETBE, x86asm.SETE, x86asm.SETG, x86asm.SETGE, x86asm.SETL, x86asm.SETLE,
	x86asm.SETNE, x86asm.SETNO, x86asm.SETNP, x86asm.SETNS, x86asm.SETO, x86asm.SETP, x86asm.SETS)

func opcodes(list ...x86asm.Op) map[x86asm.Op]bool {
	all := make(map[x86asm.Op]bool, len(list))
	for _, op := range list {
		all[op] = true
	}
	return all
}

// effectsAMD64 sets what the instruction does to registers and to the stack pointer. For an
// instruction that it does not list, it assumes the worst.
func (i *instruction) effectsAMD64(decoded *x86asm.Inst) {
	i.unfit = decoded.Op == x86asm.NOP && i.size > 1 // newer kernels rewrite five of these bytes
	switch {
	case conditional[decoded.Op]:
		i.writes = 0
	case decoded.Op == x86asm.CALL: // balanced: the stack pointer is afterwards as before
		i.writes = everyRegister
		return
	case harmless[decoded.Op]:
		i.writes = 0
	case plain[decoded.Op]:
		if register, ok := decoded.Args[0].(x86asm.Reg); ok {
			i.writes = numberAMD64(register)
		}
	default:
		i.writes = everyRegister
	}
	switch {
	case decoded.Op == x86asm.PUSH:
		i.frame = 8
		i.framing = decoded.DataSize == 64 || decoded.DataSize == 32 // a push in 64-bit mode has 8 bytes, unless it is prefixed
	case decoded.Op == x86asm.POP:
		i.frame = -8
		i.framing = i.writes&(1<<sp) == 0 && decoded.DataSize != 16
	case i.writes&(1<<sp) != 0:
		size, ok := decoded.Args[1].(x86asm.Imm)
		switch {
		case ok && decoded.Args[0] == x86asm.RSP && decoded.Op == x86asm.SUB:
			i.frame = int32(size)
		case ok && decoded.Args[0] == x86asm.RSP && decoded.Op == x86asm.ADD:
			i.frame = -int32(size)
		default:
			i.framing = false
		}
	}
}

// numberAMD64 returns the general register of which an operand is a part; none for other registers.
func numberAMD64(r x86asm.Reg) registers {
	switch {
	case r >= x86asm.AL && r <= x86asm.BL:
		return 1 << (r - x86asm.AL)
	case r >= x86asm.AH && r <= x86asm.BH:
		return 1 << (r - x86asm.AH)
	case r >= x86asm.SPB && r <= x86asm.R15B:
		return 1 << (sp + r - x86asm.SPB)
	case r >= x86asm.AX && r <= x86asm.R15W:
		return 1 << (r - x86asm.AX)
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return 1 << (r - x86asm.EAX)
	case r >= x86asm.RAX && r <= x86asm.R15:
		return 1 << (r - x86asm.RAX)
	default:
		return 0
	}
}
