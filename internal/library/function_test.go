package library

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// assembled returns code from lines of hexadecimal bytes with a comment each.
func assembled(t *testing.T, lines string) []byte {
	t.Helper()
	var code []byte
	for line := range strings.Lines(lines) {
		digits, _, _ := strings.Cut(line, ";")
		part, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
		require.NoError(t, err, line)
		code = append(code, part...)
	}
	return code
}

const start = 0x1000

// Each function is refused, or has its places where the comments say.
func TestPlaces(t *testing.T) {
	for name, test := range map[string]struct {
		code   string
		golang bool
		begin  site
		ends   []site
		fault  error
	}{
		"the arguments are overwritten before any emulated instruction": {code: `
			48 83 ec 08          ; sub $8,%rsp
			31 ff                ; xor %edi,%edi
			90                   ; nop
			48 83 c4 08          ; add $8,%rsp
			c3                   ; ret`,
			begin: site{start, 0, true}, ends: []site{{start + 11, 0, true}}},
		"half of an argument is overwritten": {code: `
			40 b7 01             ; mov $1,%dil
			90                   ; nop
			c3                   ; ret`,
			begin: site{start, 0, true}, ends: []site{{start + 4, 0, true}}},
		"an unlisted instruction may overwrite all": {code: `
			0f a2                ; cpuid
			90                   ; nop
			c3                   ; ret`,
			begin: site{start, 0, true}, ends: []site{{start + 3, 0, true}}},
		"pushes count": {code: `
			48 89 f8             ; mov %rdi,%rax
			41 54                ; push %r12
			53                   ; push %rbx
			5b                   ; pop %rbx
			41 5c                ; pop %r12
			c3                   ; ret`,
			begin: site{start + 3, 0, false}, ends: []site{{start + 9, 0, true}}},
		"no probe on a nop of five bytes": {code: `
			0f 1f 44 00 00       ; nop
			c3                   ; ret`,
			begin: site{start + 5, 0, true}, ends: []site{{start + 5, 0, true}}},
		"a loop passes it more than once": {code: `
			48 ff c8             ; dec %rax
			75 fb                ; jne -5, to the start
			c3                   ; ret`,
			begin: site{start + 3, 0, false}, ends: []site{{start + 5, 0, true}}},
		"a loop to the second instruction": {code: `
			48 89 f8             ; mov %rdi,%rax
			48 ff c8             ; dec %rax
			75 fb                ; jne -5, to dec
			c3                   ; ret`,
			begin: site{start, 0, true}, ends: []site{{start + 8, 0, true}}},
		"the stack protector": {code: `
			48 83 ec 18          ; sub $24,%rsp
			85 d2                ; test %edx,%edx
			78 10                ; js to mov $-1
			e8 00 00 00 00       ; call
			48 2b 55 00          ; sub 0(%rbp),%rdx
			75 0c                ; jne to the last call
			48 83 c4 18          ; add $24,%rsp
			c3                   ; ret
			b8 ff ff ff ff       ; mov $-1,%eax
			eb ee                ; jmp to sub 0(%rbp)
			e8 00 00 00 00       ; call, does not return`,
			begin: site{start + 6, 24, false}, ends: []site{{start + 17, 24, false}}},
		"the result changes behind the branch": {code: `
			e8 00 00 00 00       ; call
			75 04                ; jne to the last call
			89 d8                ; mov %ebx,%eax
			c3                   ; ret
			90                   ; nop
			e8 00 00 00 00       ; call, does not return`,
			begin: site{start, 0, true}, ends: []site{{start + 9, 0, true}}},
		"the branch leads to another return": {code: `
			31 c0                ; xor %eax,%eax
			75 01                ; jne to the second ret
			c3                   ; ret
			c3                   ; ret`,
			begin: site{start + 2, 0, false}, ends: []site{{start + 4, 0, true}, {start + 5, 0, true}}},
		"the branch leads to what does not return": {code: `
			31 c0                ; xor %eax,%eax
			75 01                ; jne to the call
			c3                   ; ret
			e8 00 00 00 00       ; call, does not return`,
			begin: site{start + 2, 0, false}, ends: []site{{start + 2, 0, false}}},
		"something jumps behind the branch": {code: `
			85 ff                ; test %edi,%edi
			74 05                ; je to nop
			85 f6                ; test %esi,%esi
			75 03                ; jne to the call
			90                   ; nop
			90                   ; nop
			c3                   ; ret
			e8 00 00 00 00       ; call, does not return`,
			begin: site{start + 2, 0, false}, ends: []site{{start + 10, 0, true}}},
		"into the middle of an instruction": {code: `
			eb 01                ; jmp
			b8 90 90 90 90       ; mov
			c3                   ; ret`, fault: assert.AnError},
		"a call in its place": {code: `
			eb 7e                ; jmp
			c3                   ; ret`, fault: errTailCall},
		"a call through a pointer in its place": {code: `
			ff e0                ; jmp *%rax
			c3                   ; ret`, fault: errTailCall},
		"different stacks": {code: `
			75 01                ; jne
			50                   ; push %rax
			c3                   ; ret`, fault: errTwoFrames},
		"it never returns": {code: `
			90                   ; nop
			eb fd                ; jmp`, fault: errNoEnd},
		"bytes that are no instruction": {code: `
			06                   ; push %es, in 32-bit mode only`, fault: errDecode},
		"not of Go": {golang: true, code: `
			55                   ; push %rbp
			5d                   ; pop %rbp
			c3                   ; ret`, fault: errNotGo},
		"of Go": {golang: true, code: `
			49 3b 66 10          ; cmp 16(%r14),%rsp
			76 03                ; jbe
			55                   ; push %rbp
			5d                   ; pop %rbp
			c3                   ; ret
			e8 00 00 00 00       ; call runtime.morestack
			eb f0                ; jmp to the start`,
			begin: site{start + 6, 0, false}, ends: []site{{start + 8, 0, true}}},
		"of Go without a push": {golang: true, code: `
			49 3b 66 10          ; cmp 16(%r14),%rsp
			76 09                ; jbe
			48 83 ec 10          ; sub $16,%rsp
			48 83 c4 10          ; add $16,%rsp
			c3                   ; ret
			e8 00 00 00 00       ; call runtime.morestack
			eb ea                ; jmp to the start`,
			begin: site{start + 4, 0, false}, ends: []site{{start + 14, 0, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := decodeFunction(&amd64, "f", start, assembled(t, test.code), test.golang)
			var begin site
			var ends []site
			if err == nil {
				begin, err = f.begin(amd64.c.keep(3))
			}
			if err == nil {
				ends, err = f.ends()
			}
			if test.fault != nil {
				require.Error(t, err)
				if test.fault != assert.AnError {
					assert.ErrorIs(t, err, test.fault)
				}
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.begin, begin)
			assert.Equal(t, test.ends, ends)
		})
	}
}

// Constants among the instructions of arm64 are not taken for instructions: a breakpoint would
// change them.
func TestConstants(t *testing.T) {
	f, err := decodeFunction(&arm64, "f", start, assembled(t, `
		40 00 00 58          ; ldr x0, +8
		c0 03 5f d6          ; ret
		c0 03 5f d6          ; a constant
		c0 03 5f d6          ; its second half`), false)
	require.NoError(t, err)
	ends, err := f.ends()
	require.NoError(t, err)
	assert.Equal(t, []site{{address: start + 4}}, ends)
}

func FuzzFunction(f *testing.F) {
	f.Add([]byte("\x48\x83\xec\x18\x85\xd2\x78\x02\xc3"), true, true)
	f.Fuzz(func(t *testing.T, code []byte, arm, golang bool) {
		if len(code) == 0 || len(code) > longest {
			return
		}
		m := &amd64
		if arm {
			m = &arm64
		}
		decoded, err := decodeFunction(m, "f", start, code, golang)
		if err != nil {
			return
		}
		check := func(s site) {
			_, known := decoded.at[s.address]
			assert.True(t, known, "not at an instruction")
		}
		if begin, err := decoded.begin(m.c.keep(3)); err == nil {
			check(begin)
		}
		ends, _ := decoded.ends()
		for _, e := range ends {
			check(e)
		}
	})
}
