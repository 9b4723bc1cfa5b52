package bpf

import (
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mustOpen opens the first backend that works here.
func mustOpen(t *testing.T) *Probes {
	t.Helper()
	return mustOpenWith(t, Options{RingSize: 1 << 20, MaxBytes: 4096, FlushInterval: time.Millisecond, ClientPorts: []uint16{6379}})
}

func mustOpenWith(t *testing.T, options Options) *Probes {
	t.Helper()
	var failures []error
	for _, name := range Backends() {
		probes, err := Open(name, options)
		if err == nil {
			return probes
		}
		failures = append(failures, err)
	}
	err := errors.Join(failures...)
	if os.Getenv("REDIS_OBSERVER_TEST_REQUIRE") == "1" {
		require.NoError(t, err)
	}
	t.Skipf("no backend works here: %v", err)
	return nil
}

// Any goroutine may call any method while the probes are closed and released, and afterwards: the
// method finds memory and descriptors, or returns os.ErrClosed.
func TestReleaseUnderUse(t *testing.T) {
	for range 2 {
		probes := mustOpen(t)
		calls := []func(){
			func() { _ = probes.List() },
			func() { _ = probes.SetPorts([]uint16{6379}, []uint16{6380}) },
			func() { _, _ = probes.Lost() },
			func() { probes.Produced() },
			probes.Wake,
			func() { _ = probes.Limits() },
			func() {
				if life, err := probes.attach(probes.owned.life); err == nil {
					_ = probes.detach(life)
				}
			},
			func() { _ = probes.Close() },
		}
		var beside sync.WaitGroup
		stop := make(chan struct{})
		for _, call := range calls[:len(calls)-1] {
			beside.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						call()
					}
				}
			})
		}
		time.AfterFunc(10*time.Millisecond, calls[len(calls)-1])
		for deadline := time.Now().Add(10 * time.Second); ; {
			event, _, err := probes.Next()
			if errors.Is(err, os.ErrClosed) {
				break
			}
			require.NoError(t, err)
			require.True(t, time.Now().Before(deadline), "Close is not noticed")
			if event == nil {
				require.NoError(t, probes.Wait(true))
			}
		}
		probes.Release()
		probes.Release()
		time.Sleep(5 * time.Millisecond)
		close(stop)
		beside.Wait()

		for _, call := range calls {
			call()
		}
		_, _, err := probes.Next()
		require.ErrorIs(t, err, os.ErrClosed)
		assert.NoError(t, probes.Wait(false))
		_, err = probes.Lost()
		assert.ErrorIs(t, err, os.ErrClosed)
		assert.ErrorIs(t, probes.SetPorts(nil, nil), os.ErrClosed)
		assert.ErrorIs(t, probes.List(), os.ErrClosed)
		_, err = probes.attach(probes.owned.life)
		assert.ErrorIs(t, err, os.ErrClosed)
		assert.Zero(t, probes.held.Load(), "shares that were not given back")
	}
}
