package event

// Arrivals are when received bytes became readable in their socket, the oldest first. Where a later
// one begins before the end of an earlier one, the bytes behind are of the later one.
type Arrivals []Arrival

// Arrival says that the bytes from offset From on up to End became readable at Time, in nanoseconds
// of the source's clock.
type Arrival struct {
	From, End uint32
	Time      int64
}

// At returns when the byte at an offset became readable; false if that is not known. Nil knows
// nothing.
func (a *Arrivals) At(offset uint32) (int64, bool) {
	if a == nil {
		return 0, false
	}
	for i := len(*a) - 1; i >= 0; i-- {
		if at := &(*a)[i]; int32(offset-at.From) >= 0 {
			return at.Time, int32(offset-at.End) < 0
		}
	}
	return 0, false
}

// Several reports whether bytes may have become readable at different times.
func (a *Arrivals) Several() bool { return a != nil && len(*a) > 1 }
