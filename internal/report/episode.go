package report

import (
	"slices"
	"time"
)

// span is the part of a cause in the last episode in which it lost something.
type span struct {
	from, to time.Time
	count    float64 // how much; 0 if it is not known
	ratio    float64 // of the events of that time; 0 if it is not known
	follows  bool    // it follows from lost events
}

// with returns the later one of two spans of a cause, of which the first may be zero, or both as one
// if there is no pause between them.
func (s span) with(other span) span {
	switch {
	case s.to.IsZero() || other.from.Sub(s.to) > Quiet:
		return other
	case s.from.Sub(other.to) > Quiet:
		return s
	}
	return s.and(other)
}

// and returns two spans of a cause as one.
func (s span) and(other span) span {
	if s.to.IsZero() {
		return other
	}
	both := span{from: s.from, to: latest(s.to, other.to), count: s.count + other.count}
	if other.from.Before(both.from) {
		both.from = other.from
	}
	if s.ratio > 0 && other.ratio > 0 {
		both.ratio = both.count / (s.count/s.ratio + other.count/other.ratio)
	}
	return both
}

// latest returns the later one of two times.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// lossSpan is a span with what lost something, and at which observer.
type lossSpan struct {
	nodeCause
	span
}

// lastEpisode returns the spans of the last episode of all observers together, but those that are
// harmless: those without a pause between them. An observer begins a span with the counter's first
// loss in an episode of its own, so its spans of one episode have no pause between them.
func lastEpisode(all []lossSpan) []lossSpan {
	list := slices.DeleteFunc(slices.Clone(all), func(s lossSpan) bool { return s.harmless() })
	slices.SortFunc(list, func(a, b lossSpan) int { return b.to.Compare(a.to) })
	var from time.Time
	for i, s := range list {
		if i > 0 && from.Sub(s.to) > Quiet {
			return list[:i]
		}
		if i == 0 || s.from.Before(from) {
			from = s.from
		}
	}
	return list
}

// sums adds up the spans of each cause. It marks those that follow from lost events: of the same
// time, or of a later one, because an observer does not say all.
func sums(all []lossSpan, add func(a, b span) span) map[cause]span {
	sum := map[cause]span{}
	for _, s := range all {
		sum[s.cause] = add(sum[s.cause], s.span)
	}
	for c, in := range sum {
		for other, source := range sum {
			in.follows = in.follows || c.consequence() && other.source() && in.from.Sub(source.to) <= Quiet
		}
		sum[c] = in
	}
	return sum
}
