package library

import "errors"

// registers is a set of general registers, by their number in the instruction set.
type registers uint32

const everyRegister = ^registers(0)

// flow is where an instruction continues.
type flow uint8

const (
	onward   flow = iota // with the next one
	branch               // with the next one, or at the target
	jump                 // at the target
	call                 // with the next one, when the called function returns
	indirect             // at an address that is not in the code
	back                 // with the caller
	nowhere              // a trap
)

// instruction is one decoded instruction.
type instruction struct {
	address  uint64
	size     uint8
	flow     flow
	emulated bool      // the kernel emulates it on both architectures' oldest supported kernels
	unfit    bool      // no probe may stand here
	framing  bool      // frame says how the stack pointer changes; otherwise it becomes unknown
	frame    int32     // bytes that it allocates on the stack, negative if it frees them
	target   uint64    // of a branch, a jump or a call
	literal  uint64    // address of the constant that it loads from the code, 0 for none
	writes   registers // that it may change
}

func (i *instruction) next() uint64 { return i.address + uint64(i.size) }

// machine is an instruction set.
type machine struct {
	// decode decodes the first instruction of code, which is at the address.
	decode func(code []byte, address uint64) (instruction, error)
	// field returns the distance of the field that a function returns of its argument, 0 if it does more.
	field func(code []byte) uint16
	// pad is the byte that fills the space between functions of Go.
	pad byte
	// c and golang are the registers of the first arguments, by number of arguments, and of the
	// result, in the calling conventions of C and of Go.
	c, golang convention
}

type convention struct {
	arguments []registers // without and with the registers of the previous ones: see keep
	result    registers
}

// keep returns the registers of the first n arguments.
func (c convention) keep(n int) registers {
	var set registers
	for _, r := range c.arguments[:n] {
		set |= r
	}
	return set
}

var errDecode = errors.New("an instruction does not decode")
