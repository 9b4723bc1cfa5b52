package session

// passWait passes how long the byte by which n requests or replies end lay in the socket before it
// was read, when so many bytes of the chunk that is being read remain. A time that is more than the
// duration of the commands is none: then the bytes are others than those that came.
func (s *Session) passWait(n uint32, remain int, duration int64) {
	a := &s.shared.read
	wait := int64(NoDuration)
	if at, known := a.Readable.At(a.End - uint32(remain) - 1); known && at <= a.Time && a.Time-at <= duration {
		wait = a.Time - at
	}
	s.places.PassWait(wait, n)
}
