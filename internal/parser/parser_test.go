package parser

import (
	"math"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

func TestParseInteger(t *testing.T) {
	valid := map[string]int64{
		"0": 0, "1": 1, "-1": -1, "10": 10, "512": 512, "-907": -907,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64,
	}
	for text, want := range valid {
		t.Run("valid "+text, func(t *testing.T) {
			got, ok := parseInteger([]byte(text))
			assert.True(t, ok)
			assert.Equal(t, want, got)
		})
	}
	invalid := []string{
		"", "-", "+1", "-0", "00", "01", "-01", "1 ", " 1", "1a", "0x1", "--1", "1-", "\x001",
		"9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999", "100000000000000000000",
	}
	for _, text := range invalid {
		t.Run("invalid "+text, func(t *testing.T) {
			_, ok := parseInteger([]byte(text))
			assert.False(t, ok)
		})
	}
}

func TestLooksLikeTLS(t *testing.T) {
	assert.True(t, LooksLikeTLS([]byte("\x16\x03\x01\x02\x00")))
	for _, b := range []string{"", "\x16", "\x16\x04", "*1\r\n", "\x03\x16"} {
		assert.False(t, LooksLikeTLS([]byte(b)), "%q", b)
	}
}

// Tens of thousands of connections have two streams each.
func TestStreamsAreSmall(t *testing.T) {
	assert.LessOrEqual(t, unsafe.Sizeof(RequestStream{}), uintptr(400))
	assert.LessOrEqual(t, unsafe.Sizeof(ReplyStream{}), uintptr(400))
	t.Log("request", unsafe.Sizeof(RequestStream{}), "reply", unsafe.Sizeof(ReplyStream{}))
}
