package correlate

// heap orders items by a number, the smallest first. An item keeps its own place in it, so that it can be moved and removed in O(log n).
type heap[T any] struct {
	entries []entry[T]
	place   func(*T) *int32 // where an item keeps its place: the index of its entry plus one, 0 while it has none
}

type entry[T any] struct {
	key  int64
	item *T
}

// first returns the item with the smallest number and that number, nil if there is none.
func (h *heap[T]) first() (*T, int64) {
	if len(h.entries) == 0 {
		return nil, 0
	}
	return h.entries[0].item, h.entries[0].key
}

// key returns the number of an item, false if the item is not there.
func (h *heap[T]) key(item *T) (int64, bool) {
	at := *h.place(item)
	if at == 0 {
		return 0, false
	}
	return h.entries[at-1].key, true
}

// set gives an item its number. An item that is not there is added.
func (h *heap[T]) set(item *T, key int64) {
	at := *h.place(item)
	if at == 0 {
		h.entries = append(h.entries, entry[T]{})
		h.rise(len(h.entries)-1, entry[T]{key, item})
		return
	}
	i := int(at - 1)
	if key <= h.entries[i].key {
		h.rise(i, entry[T]{key, item})
		return
	}
	h.sink(i, entry[T]{key, item})
}

// remove takes an item out, if it is there.
func (h *heap[T]) remove(item *T) {
	place := h.place(item)
	if *place == 0 {
		return
	}
	i, end := int(*place-1), len(h.entries)-1
	*place = 0
	last := h.entries[end]
	h.entries[end] = entry[T]{} // the array must not keep what is gone
	h.entries = h.entries[:end]
	switch {
	case i == end:
	case i > 0 && last.key < h.entries[(i-1)/2].key:
		h.rise(i, last)
	default:
		h.sink(i, last)
	}
}

// rise puts an entry at i or nearer to the first.
func (h *heap[T]) rise(i int, e entry[T]) {
	for i > 0 {
		above := (i - 1) / 2
		if h.entries[above].key <= e.key {
			break
		}
		h.put(i, h.entries[above])
		i = above
	}
	h.put(i, e)
}

// sink puts an entry at i or further from the first.
func (h *heap[T]) sink(i int, e entry[T]) {
	for {
		below := 2*i + 1
		if below+1 < len(h.entries) && h.entries[below+1].key < h.entries[below].key {
			below++
		}
		if below >= len(h.entries) || h.entries[below].key >= e.key {
			break
		}
		h.put(i, h.entries[below])
		i = below
	}
	h.put(i, e)
}

func (h *heap[T]) put(i int, e entry[T]) {
	h.entries[i] = e
	*h.place(e.item) = int32(i + 1)
}
