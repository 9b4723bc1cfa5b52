package library

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// longest is the size of the longest function that is looked at, in bytes. Go's (*Conn).Write has
// 2 KiB. As a file has at most eleven functions, it bounds the number of instructions too.
const longest = 16 << 10

// mostEnds is how many return instructions a function may have. Go's (*Conn).Write has 8.
const mostEnds = 64

// function is the decoded code of one function.
type function struct {
	machine *machine
	name    string
	start   uint64
	list    []instruction
	at      map[uint64]int  // index in list by address
	targets map[uint64]bool // of branches and jumps
	frames  []int32         // bytes on the stack before each instruction, at most largestFrame, or unknown
	golang  bool
	// replaced means that it may end by jumping to another function, so not all ends are in the list.
	replaced bool
}

// unknown is the frame where the stack pointer cannot be followed, or is not reached from the start.
const unknown = int32(math.MinInt32)

// site is a place for a probe, by its address.
type site struct {
	address uint64
	frame   uint16
	stepped bool
}

// decodeFunction decodes a function whole. It refuses one that may hold data, or that is
// entered in the middle of an instruction.
func decodeFunction(m *machine, name string, start uint64, code []byte, golang bool) (*function, error) {
	f := &function{machine: m, name: name, start: start, golang: golang, at: map[uint64]int{}, targets: map[uint64]bool{}}
	end := start + uint64(len(code))
	if end <= start {
		return nil, errRange
	}
	literals := map[uint64]bool{}
	for address := start; address < end; {
		i, err := m.decode(code[address-start:], address)
		if err != nil {
			return nil, fmt.Errorf("%w at +%#x", err, address-start)
		}
		if i.literal != 0 {
			literals[i.literal], literals[i.literal+4] = true, true
		}
		f.at[address] = len(f.list)
		f.list = append(f.list, i)
		address = i.next()
	}
	for n := range f.list {
		i := &f.list[n]
		if literals[i.address] { // a constant, not an instruction
			i.flow, i.emulated, i.unfit, i.target = nowhere, false, true, 0
			continue
		}
		if i.flow != branch && i.flow != jump || i.target < start || i.target >= end {
			continue
		}
		if _, ok := f.at[i.target]; !ok {
			return nil, fmt.Errorf("%+#x is entered in the middle of an instruction", i.target-start)
		}
		f.targets[i.target] = true
	}
	if err := f.follow(); err != nil {
		return nil, err
	}
	return f, nil
}

var (
	errTailCall   = errors.New("it ends by calling another function in its place")
	errTwoFrames  = errors.New("an instruction is reached with different stacks")
	errNoStart    = errors.New("no place at its start is fit for a probe")
	errNotGo      = errors.New("it does not begin with Go's check of the stack")
	errNoEnd      = errors.New("it has no return instruction")
	errBigFrame   = errors.New("its stack is too large")
	errRange      = errors.New("it is empty, or not within the address space")
	errManyEnds   = fmt.Errorf("it has more than %d return instructions", mostEnds)
	errNotAligned = errors.New("its stack is not aligned")
)

// follow sets the frames, by following all branches and jumps from the start.
func (f *function) follow() error {
	f.frames = slices.Repeat([]int32{unknown}, len(f.list))
	f.frames[0] = 0
	reached := make([]bool, len(f.list))
	reached[0] = true
	for work := []int{0}; len(work) > 0; {
		n := work[len(work)-1]
		work = work[:len(work)-1]
		i, after := &f.list[n], unknown
		if f.frames[n] != unknown && i.framing {
			if sum := int64(f.frames[n]) + int64(i.frame); sum >= -largestFrame && sum <= largestFrame {
				after = int32(sum)
			}
		}
		visit := func(address uint64) error {
			next, inside := f.at[address]
			switch {
			case !inside && i.flow == jump && f.frames[n] <= 0: // with nothing left on the stack
				f.replaced = true
			case !inside: // a part that is kept elsewhere since it hardly ever runs, or behind a call that never returns
			case !reached[next]:
				reached[next], f.frames[next] = true, after
				work = append(work, next)
			case f.frames[next] != after && f.frames[next] != unknown && after != unknown:
				return errTwoFrames
			}
			return nil
		}
		if i.flow == indirect {
			f.replaced = true
		}
		if i.flow == branch || i.flow == jump {
			if err := visit(i.target); err != nil {
				return err
			}
		}
		if i.flow == onward || i.flow == branch || i.flow == call {
			if err := visit(i.next()); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin returns the place for the start of the function: the first emulated instruction on the way
// that all calls take, before which the registers keep hold what the caller put there. If there is
// none, it is the first instruction that is fit.
func (f *function) begin(keep registers) (site, error) {
	var fallback, found *site
	checked := false
	for n := 0; n < len(f.list); n++ {
		i := &f.list[n]
		if n > 0 && f.targets[i.address] { // calls pass it more than once
			break
		}
		if !i.unfit && f.frames[n] != unknown {
			s, err := f.site(n)
			if err != nil {
				return site{}, err
			}
			if i.emulated && found == nil {
				found = &s
			}
			if i.emulated && checked { // Go's push of the frame pointer, which unlike the check is passed once
				return s, nil
			}
			if fallback == nil {
				fallback = &s
			}
		}
		if i.writes&keep != 0 {
			break
		}
		if i.flow == branch && f.golang && !checked && f.retries(i.target) {
			checked = true
		} else if i.flow != onward {
			break
		}
	}
	switch {
	case f.golang && !checked:
		return site{}, errNotGo
	case found != nil:
		return *found, nil
	case fallback != nil:
		return *fallback, nil
	default:
		return site{}, errNoStart
	}
}

// retries reports whether the code at an address leads back to the start of the function and
// nowhere else, as Go's does that grows the stack.
func (f *function) retries(address uint64) bool {
	n, ok := f.at[address]
	for ; ok && n < len(f.list); n++ {
		switch i := &f.list[n]; i.flow {
		case onward, call:
		case jump:
			return i.target == f.start
		default:
			return false
		}
	}
	return false
}

// ends returns the places for the end: one for each return instruction.
func (f *function) ends() ([]site, error) {
	if f.replaced {
		return nil, errTailCall
	}
	var all []site
	returning := f.returning()
	for n, ends := 0, 0; n < len(f.list); n++ {
		if f.list[n].flow != back {
			continue
		}
		if ends++; ends > mostEnds {
			return nil, errManyEnds
		}
		s := site{address: f.list[n].address, stepped: !f.list[n].emulated}
		if s.stepped && !f.golang {
			if better, ok := f.before(n, returning); ok {
				s = better
			}
		}
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil, errNoEnd
	}
	return all, nil
}

// before returns an emulated instruction that every call passes which comes to a return
// instruction, and no other call: the check of the stack protector. There the result is final.
func (f *function) before(end int, returning []bool) (site, bool) {
	freed := int32(0)
	for n := end; n > 0 && !f.targets[f.list[n].address]; n-- {
		previous := &f.list[n-1]
		switch {
		case previous.flow == branch && previous.emulated && !previous.unfit && !f.leadsBack(previous.target, returning):
			if f.frames[n-1] != freed && f.frames[n-1] != unknown || freed < 0 {
				return site{}, false
			}
			return site{address: previous.address, frame: uint16(freed)}, true
		case previous.flow != onward, previous.writes&f.machine.c.result != 0, !previous.framing:
			return site{}, false
		}
		sum := int64(freed) - int64(previous.frame)
		if sum < -largestFrame || sum > largestFrame {
			return site{}, false
		}
		freed = int32(sum)
	}
	return site{}, false
}

// returning returns which instructions may come to a return instruction.
func (f *function) returning() []bool {
	may := make([]bool, len(f.list))
	var work []int
	reach := func(n int) {
		if !may[n] {
			may[n] = true
			work = append(work, n)
		}
	}
	from := map[int][]int{} // branches and jumps by their target
	for n := range f.list {
		switch i := &f.list[n]; i.flow {
		case back, indirect:
			reach(n)
		case branch, jump:
			if target, inside := f.at[i.target]; inside {
				from[target] = append(from[target], n)
			} else if f.leadsBack(i.target, nil) {
				reach(n)
			}
		}
	}
	for len(work) > 0 {
		n := work[len(work)-1]
		work = work[:len(work)-1]
		for _, previous := range from[n] {
			reach(previous)
		}
		if n > 0 {
			switch f.list[n-1].flow {
			case onward, call, branch:
				reach(n - 1)
			}
		}
	}
	return may
}

// leadsBack reports whether the code at an address may come to a return instruction. That outside of
// the function may, but behind its end is only what a call that never returns would continue with.
func (f *function) leadsBack(address uint64, returning []bool) bool {
	if n, inside := f.at[address]; inside {
		return returning[n]
	}
	return address != f.list[len(f.list)-1].next()
}

// largestFrame is the largest distance in bytes between a place and the stack pointer at the start
// of its function.
const largestFrame = 1 << 15

func (f *function) site(n int) (site, error) {
	frame := f.frames[n]
	switch {
	case frame < 0 || frame > largestFrame:
		return site{}, errBigFrame
	case frame%8 != 0:
		return site{}, errNotAligned
	}
	return site{address: f.list[n].address, frame: uint16(frame), stepped: !f.list[n].emulated}, nil
}
