package correlate

import container "container/heap"

// heap orders items by a number, the smallest first. An item keeps its own place in it, so that it
// can be moved and removed in O(log n).
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
	place := h.place(item)
	if *place == 0 {
		h.Push(item)
	}
	h.entries[*place-1].key = key
	container.Fix(h, int(*place-1))
}

// remove takes an item out, if it is there.
func (h *heap[T]) remove(item *T) {
	if at := *h.place(item); at != 0 {
		container.Remove(h, int(at-1))
	}
}

// Len, Less and Swap implement sort.Interface; with Push and Pop they implement container/heap's.
func (h *heap[T]) Len() int { return len(h.entries) }

func (h *heap[T]) Less(i, j int) bool { return h.entries[i].key < h.entries[j].key }

func (h *heap[T]) Swap(i, j int) {
	h.entries[i], h.entries[j] = h.entries[j], h.entries[i]
	*h.place(h.entries[i].item), *h.place(h.entries[j].item) = int32(i+1), int32(j+1)
}

// Push adds an item, a *T, at the end.
func (h *heap[T]) Push(item any) {
	h.entries = append(h.entries, entry[T]{item: item.(*T)})
	*h.place(item.(*T)) = int32(len(h.entries))
}

// Pop removes the last entry, and returns nothing of it.
func (h *heap[T]) Pop() any {
	end := len(h.entries) - 1
	*h.place(h.entries[end].item) = 0
	h.entries[end] = entry[T]{} // the array must not keep the item alive
	h.entries = h.entries[:end]
	return nil
}
