package config

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Size is a number of bytes, written with a binary unit (64KiB, 16MiB, 1GiB) or as a plain number.
type Size uint64

// sizeUnits lists the units, largest first.
var sizeUnits = []struct {
	suffix string
	bytes  uint64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// ParseSize parses a size.
func ParseSize(text string) (Size, error) {
	digits, factor := strings.TrimSpace(text), uint64(1)
	for _, unit := range sizeUnits {
		if rest, found := strings.CutSuffix(digits, unit.suffix); found {
			digits, factor = strings.TrimSpace(rest), unit.bytes
			break
		}
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size", text)
	}
	if high, _ := bits.Mul64(number, factor); high != 0 {
		return 0, fmt.Errorf("%q does not fit into 64 bits", text)
	}
	return Size(number * factor), nil
}

// String returns the size in the largest unit that divides it.
func (s Size) String() string {
	for _, unit := range sizeUnits {
		if uint64(s) >= unit.bytes && uint64(s)%unit.bytes == 0 {
			return strconv.FormatUint(uint64(s)/unit.bytes, 10) + unit.suffix
		}
	}
	return strconv.FormatUint(uint64(s), 10)
}

// powerOfTwo returns the smallest power of two that is not less than s.
func powerOfTwo(s Size) Size {
	if s <= 1 {
		return 1
	}
	return 1 << bits.Len64(uint64(s)-1)
}
