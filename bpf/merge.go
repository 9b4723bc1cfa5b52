package bpf

// merge reads the ring and the lanes as one sequence in the order of the events' times, so that nothing comes before what caused it: a
// connection opens before anything is sent on it, and a request is sent before its reply is received.
//
// What caused an event was written before it, but perhaps to a queue that was looked at a moment earlier. So an event is handed out only
// after a second look at all queues: what the first look found has its causes within what the second one found.
type merge struct {
	ring    *ring
	lanes   []lane
	reaches []reach // of the ring, which is queue 0, and of the lanes
	heads   []head  // a heap of the queues with events within reach, the earliest first
	owing   int     // queues with events that the look before the latest found
	stuck   bool    // the ring's next event is within reach and still being written: nobody knows its time
	handed  bool    // the first event of heads was handed out
}

// reach is how far a queue is known to be written.
type reach struct {
	owed uint64 // position at the look before the latest
	seen uint64 // position at the latest look
}

// head is the next event of a queue.
type head struct {
	time  uint64
	queue int
}

func (h head) before(other head) bool {
	return h.time < other.time || h.time == other.time && h.queue < other.queue
}

func newMerge(r *ring, lanes []lane) *merge {
	m := &merge{ring: r, lanes: lanes, reaches: make([]reach, 1+len(lanes)), heads: make([]head, 0, 1+len(lanes))}
	m.reaches[0] = reach{r.position, r.position}
	return m
}

// next returns the next event and its payload, both valid until the next call; nil if there is none.
func (m *merge) next() (*Event, []byte) {
	if m.handed {
		m.handed = false
		m.step()
	}
	for m.owing == 0 {
		if !m.look() {
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
		return m.lanes[queue-1].read()
	}
	return m.ring.event, m.ring.payload
}

// look notes how far each queue is written. It returns false if nothing is within reach.
func (m *merge) look() (found bool) {
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

// enter puts a queue with events within reach among the heads. It reports false if its next event cannot be read yet.
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

// step goes on behind the first event.
func (m *merge) step() {
	queue := m.heads[0].queue
	before := m.position(queue)
	if queue == 0 {
		m.ring.skip()
	} else {
		m.lanes[queue-1].skip()
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

// sink puts h in the place of the first of the heads, and then where it belongs.
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

// time returns when the next event of a queue happened, false if that cannot be read yet.
func (m *merge) time(queue int) (uint64, bool) {
	if queue > 0 {
		return m.lanes[queue-1].event().Time, true
	}
	if !m.ring.peek() {
		return 0, false
	}
	return m.ring.event.Time, true
}

// position returns the position of the next event of a queue.
func (m *merge) position(queue int) uint64 {
	if queue > 0 {
		return m.lanes[queue-1].position
	}
	return m.ring.position
}

// end returns the position behind the newest event of a queue.
func (m *merge) end(queue int) uint64 {
	if queue > 0 {
		return m.lanes[queue-1].end()
	}
	return m.ring.end()
}

// publish gives the room of what was read back.
func (m *merge) publish() {
	m.ring.publish()
	for i := range m.lanes {
		m.lanes[i].publish()
	}
}
