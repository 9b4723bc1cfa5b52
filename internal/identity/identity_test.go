package identity

import (
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// valuesOf returns the values of an ID that has to be there.
func valuesOf(tb testing.TB, r *Registry, id ID) []string {
	tb.Helper()
	values, found := r.Values(id)
	require.True(tb, found)
	return values
}

func TestOneIDForEachSet(t *testing.T) {
	r := NewRegistry("name", "pod")
	a, b, c := r.Intern("cache", "x"), r.Intern("cache", "y"), r.Intern("cachex", "")
	assert.Equal(t, []ID{0, 1, 2}, []ID{a, b, c})
	assert.Equal(t, b, r.Intern("cache", "y"))
	assert.Equal(t, []string{"cache", "y"}, valuesOf(t, r, b))
	assert.Equal(t, []string{"name", "pod"}, r.Labels())
	assert.Panics(t, func() { r.Intern("cache") })
	_, found := r.Values(3)
	assert.False(t, found, "an ID that the registry did not give")
}

// A released ID stands for nothing, though its slot stands for another set.
func TestRelease(t *testing.T) {
	r := NewRegistry("name")
	kept, old := r.Intern("kept"), r.Intern("old")
	r.Release(old)
	_, found := r.Values(old)
	assert.False(t, found)
	assert.Equal(t, []ID{kept}, r.IDs())

	next := r.Intern("next")
	assert.Equal(t, old.Slot(), next.Slot())
	assert.NotEqual(t, old, next)
	assert.Equal(t, []string{"next"}, valuesOf(t, r, next))
	_, found = r.Values(old)
	assert.False(t, found)

	r.Release(old) // again: it must not end its successor
	assert.Equal(t, []string{"next"}, valuesOf(t, r, next))
	assert.NotEqual(t, old, r.Intern("old"), "a set that comes back is a new identity")
	assert.Len(t, r.IDs(), 3)
}

// Whatever was released meanwhile, Values returns the set that an ID was given for, or nothing.
func TestValuesWhileReleasing(t *testing.T) {
	r := NewRegistry("name")
	var mu sync.Mutex
	given := map[ID]string{}
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for i := range 2000 {
				name := strconv.Itoa(g) + "/" + strconv.Itoa(i)
				id := r.Intern(name)
				mu.Lock()
				if before, twice := given[id]; twice {
					t.Errorf("%s has the ID of %s", name, before)
				}
				given[id] = name
				mu.Unlock()
				r.Release(id)
			}
		})
	}
	for range 2000 {
		mu.Lock()
		for id, name := range given { // any one
			if values, found := r.Values(id); found {
				assert.Equal(t, name, values[0])
			}
			break
		}
		mu.Unlock()
	}
	wg.Wait()
	assert.Empty(t, r.IDs())
	assert.LessOrEqual(t, len(*r.slots.Load()), 2, "slots are used again")
}

func TestValuesAllocatesNothing(t *testing.T) {
	r := NewRegistry("name")
	id := r.Intern("cache")
	assert.Zero(t, testing.AllocsPerRun(100, func() { r.Values(id) }))
}
