// Package library finds the places of a TLS library, or of a program that contains one, at which
// probes see the plaintext.
//
// The files belong to the observed processes, so nothing in them is trusted: they are read by
// offset, in pieces of bounded size, and whatever does not decode cleanly is refused with a reason.
// A probe at a wrong place would change the program that runs there.
//
// A place is an instruction, given as its offset in the file, because the kernel attaches uprobes by
// file and offset. The kernel emulates some instructions and single-steps the others out of line,
// which costs about seven times as much. So the first choice is an instruction that it emulates:
//
//   - a start, before which no argument was overwritten, and that every call of the function passes
//     exactly once;
//   - an end, after which the return value does not change, and that stands before the only way to a
//     return instruction. Otherwise, the end is the return instruction.
//
// Return probes (uretprobes) are never used: they replace the return address on the stack, which
// breaks programs that inspect their stack, as Go's runtime does.
package library
