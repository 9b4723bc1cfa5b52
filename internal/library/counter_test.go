package library

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Only a function that returns a field of its argument, and does nothing else, says where the field is.
func TestField(t *testing.T) {
	load := "\x48\x8b\x47\x60" // mov rax, [rdi+0x60]
	for name, c := range map[string]struct {
		code string
		want uint16
	}{
		"OpenSSL's":        {"\xf3\x0f\x1e\xfa\x31\xc0\x48\x85\xff\x74\x04" + load + "\x31\xff\xc3", 0x60},
		"without a check":  {load + "\xc3", 0x60},
		"no load":          {"\x31\xc0\xc3", 0},
		"two loads":        {load + "\x48\x8b\x47\x68\xc3", 0},
		"of a load":        {"\x48\x8b\x7f\x08" + load + "\xc3", 0},
		"four bytes":       {"\x8b\x47\x60\xc3", 0},
		"first field":      {"\x48\x8b\x07\xc3", 0},
		"in front":         {"\x48\x8b\x47\xf8\xc3", 0},
		"not aligned":      {"\x48\x8b\x47\x61\xc3", 0},
		"too far":          {"\x48\x8b\x87\x00\x08\x00\x00\xc3", 0},
		"by an index":      {"\x48\x8b\x44\x37\x60\xc3", 0},
		"thread's storage": {"\x64" + load + "\xc3", 0},
		"changed":          {load + "\x48\x83\xc0\x01\xc3", 0},
		"calls":            {load + "\xe8\x00\x00\x00\x00\xc3", 0},
		"cut off":          {load + "\x48", 0},
		"nothing":          {"", 0},
	} {
		assert.Equal(t, c.want, fieldAMD64([]byte(c.code)), name)
	}
	for name, c := range map[string]struct {
		code []uint32
		want uint16
	}{
		"OpenSSL's": {[]uint32{0xd503245f, 0xb4000060, 0xf9403000, 0xd65f03c0, 0xd2800000, 0xd65f03c0}, 0x60},
		"no load":   {[]uint32{0xd2800000, 0xd65f03c0}, 0},
		"two loads": {[]uint32{0xf9403000, 0xf9403400, 0xd65f03c0}, 0},
		"too far":   {[]uint32{0xf9440000, 0xd65f03c0}, 0},
		"changed":   {[]uint32{0xf9403000, 0x91000400, 0xd65f03c0}, 0},
	} {
		var code []byte
		for _, w := range c.code {
			code = binary.LittleEndian.AppendUint32(code, w)
		}
		assert.Equal(t, c.want, fieldARM64(code), name)
	}
}
