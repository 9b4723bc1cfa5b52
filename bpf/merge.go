package bpf

// merge reads the ring buffer and the per-CPU rings as one sequence, ordered by the times of the
// events. So no event precedes its cause: a connection opens before its first byte is sent, and a
// request is sent before its reply is received.
//
// The cause of an event was written before it, but perhaps to a queue that had been checked a
// moment earlier. So an event is delivered only after a second check of all queues: the causes of
// the events that the first check found are among those that the second one found.
type merge struct {
	ring    *ring
	percpu  []percpuRing
	reaches []reach // of the ring buffer, which is queue 0, and of the per-CPU rings
	heads   []head  // a heap of the queues that have events within reach, the earliest first
	owing   int     // queues with events that the check before the latest found
	stuck   bool    // the next event of the ring buffer is within reach but still being written, so its time is unknown
	handed  bool    // the first event of heads was delivered
}

// reach is how far a queue was written at the latest two checks.
type reach struct {
	owed uint64 // position at the check before the latest
	seen uint64 // position at the latest check
}

// head is the next event of a queue.
type head struct {
	time  uint64
	queue int
}

func (h head) before(other head) bool {
	return h.time < other.time || h.time == other.time && h.queue < other.queue
}

func newMerge(r *ring, rings []percpuRing) *merge {
	m := &merge{ring: r, percpu: rings, reaches: make([]reach, 1+len(rings)), heads: make([]head, 0, 1+len(rings))}
	m.reaches[0] = reach{r.position, r.position}
	return m
}

// next returns the next event and its payload, both valid until the next call; nil if there is
// none.
func (m *merge) next() (*Event, []byte) {
	if m.handed {
		m.handed = false
		m.step()
	}
	for m.owing == 0 {
		if !m.check() {
			m.publish()
			return nil, nil
		}
	}
	if m.stuck && !m.enter(0) {
		m.publish()
		return nil, nil
	}
	m.handed = true
	if queue := m.heads[0].queue; queue > 0 {
		return m.percpu[queue-1].read()
	}
	return m.ring.event, m.ring.payload
}

// check notes how far each queue is written. It returns false if no event is within reach.
func (m *merge) check() (found bool) {
	for queue := range m.reaches {
		r, at := &m.reaches[queue], m.position(queue)
		known := at < r.seen
		r.owed, r.seen = r.seen, m.end(queue)
		switch {
		case known:
			m.owing++
		case at < r.seen:
			m.enter(queue)
		default:
			continue
		}
		found = true
	}
	return found
}

// enter adds a queue with events within reach to the heads. It returns false if its next event
// cannot be read yet.
func (m *merge) enter(queue int) bool {
	time, ok := m.time(queue)
	m.stuck = m.stuck && queue != 0 || !ok
	if !ok {
		return false
	}
	i := len(m.heads)
	h := head{time, queue}
	m.heads = append(m.heads, h)
	for ; i > 0 && h.before(m.heads[(i-1)/2]); i = (i - 1) / 2 {
		m.heads[i] = m.heads[(i-1)/2]
	}
	m.heads[i] = h
	return true
}

// step advances behind the first event.
func (m *merge) step() {
	queue := m.heads[0].queue
	before := m.position(queue)
	if queue == 0 {
		m.ring.skip()
	} else {
		m.percpu[queue-1].skip()
	}
	r, at := &m.reaches[queue], m.position(queue)
	if before < r.owed && at >= r.owed {
		m.owing--
	}
	var time uint64
	more := at < r.seen
	if more {
		time, more = m.time(queue)
		m.stuck = !more
	}
	h := head{time, queue}
	if !more {
		last := len(m.heads) - 1
		h, m.heads = m.heads[last], m.heads[:last]
		if last == 0 {
			return
		}
	}
	m.sink(h)
}

// sink replaces the first of the heads by h, and restores the heap.
func (m *merge) sink(h head) {
	i := 0
	for {
		child := 2*i + 1
		if child >= len(m.heads) {
			break
		}
		if child+1 < len(m.heads) && m.heads[child+1].before(m.heads[child]) {
			child++
		}
		if h.before(m.heads[child]) {
			break
		}
		m.heads[i] = m.heads[child]
		i = child
	}
	m.heads[i] = h
}

// time returns the time of the next event of a queue, or false if that event cannot be read yet.
func (m *merge) time(queue int) (uint64, bool) {
	if queue > 0 {
		return m.percpu[queue-1].event().Time, true
	}
	if !m.ring.peek() {
		return 0, false
	}
	return m.ring.event.Time, true
}

// position returns the position of the next event of a queue.
func (m *merge) position(queue int) uint64 {
	if queue > 0 {
		return m.percpu[queue-1].position
	}
	return m.ring.position
}

// end returns the position behind the newest event of a queue.
func (m *merge) end(queue int) uint64 {
	if queue > 0 {
		return m.percpu[queue-1].end()
	}
	return m.ring.end()
}

// publish returns the room of the delivered events to the probes.
func (m *merge) publish() {
	m.ring.publish()
	for i := range m.percpu {
		m.percpu[i].publish()
	}
}

// fill returns how much of the fullest per-CPU ring was read since the last call, from 0 to 1.
func (m *merge) fill() float64 {
	var most uint64
	for i := range m.percpu {
		r := &m.percpu[i]
		most, r.measured = max(most, r.position-r.measured), r.position
	}
	if most == 0 {
		return 0
	}
	return min(float64(most)/float64(m.percpu[0].mask+1), 1)
}
