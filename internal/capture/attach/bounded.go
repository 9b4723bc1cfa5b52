package attach

import (
	"errors"
	"os"
	"sync"
	"time"
)

// mostStuck is how many calls may hang at once. Each costs a thread.
const mostStuck = 4

var (
	errStuck     = errors.New("the file system does not answer")
	errManyStuck = errors.New("too many files whose file systems do not answer")
)

// stuck are the calls that hang: reads of FUSE or NFS may block for ever.
type stuck struct {
	lock sync.Mutex
	on   map[any]struct{}
}

// within does work that may block, and waits for it until a deadline. What it works on is remembered
// for as long as it hangs, and until then other work on it fails at once. discard gets a result that
// came too late; it may be nil.
func within[T any](s *stuck, on any, until time.Time, work func() (T, error), discard func(T)) (T, error) {
	var zero T
	s.lock.Lock()
	_, hangs := s.on[on]
	many := len(s.on) >= mostStuck
	s.lock.Unlock()
	switch {
	case hangs:
		return zero, errStuck
	case many:
		return zero, errManyStuck
	case !time.Now().Before(until):
		return zero, os.ErrDeadlineExceeded
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := work()
		done <- result{value, err}
	}()
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-timer.C:
	}
	s.lock.Lock()
	s.on[on] = struct{}{}
	s.lock.Unlock()
	go func() {
		r := <-done
		if r.err == nil && discard != nil {
			discard(r.value)
		}
		s.lock.Lock()
		delete(s.on, on)
		s.lock.Unlock()
	}()
	return zero, errStuck
}
