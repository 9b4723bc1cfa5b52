package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// rawPushes has a RESP3 connection pushed to from all sides while it asks: tracked keys, messages, notifications of keys.
func rawPushes(_ context.Context, r *round) error {
	if !r.server.since(6.2, 0) {
		return nil // 6.0 holds invalidations back in ways of its own, which raw-protocols tries
	}
	if _, err := r.admin.do("CONFIG SET notify-keyspace-events KEA"); err != nil {
		return err
	}
	requests := []string{"GET a", "SET a 1", "MULTI", "GET a", "SET a 2", "LPUSH a x", "PUBLISH news own", "EXEC", "LRANGE list 0 -1", "SUBSCRIBE more", "UNSUBSCRIBE more", "PING", "MGET a b"}
	tracking := []string{"CLIENT TRACKING on", "CLIENT TRACKING on BCAST", "CLIENT TRACKING on OPTIN", "CLIENT TRACKING on BCAST NOLOOP", "CLIENT NO-TOUCH on"}
	var all []error
	for _, how := range tracking {
		all = append(all, r.onNew(func(w *wire) error {
			if _, err := w.ask("HELLO 3", how, "SUBSCRIBE news", "PSUBSCRIBE __key*"); err != nil {
				return err
			}
			busy := make(chan error, 1)
			go func() { busy <- r.chatter(150 * time.Millisecond) }()
			for range 30 {
				if err := w.send(commands("CLIENT CACHING yes") + commands(requests...)); err != nil {
					return err
				}
				if err := w.drain(2 * time.Millisecond); err != nil {
					return err
				}
			}
			return errors.Join(<-busy, r.exhaust(w))
		}))
	}
	return errors.Join(append(all, r.redirectedTracking())...)
}

// redirectedTracking has the invalidations of one connection sent to another, which is subscribed in RESP2.
func (r *round) redirectedTracking() error {
	return r.onNew(func(listener *wire) error {
		id, err := listener.ask("CLIENT ID", "SUBSCRIBE __redis__:invalidate")
		if err != nil {
			return err
		}
		return errors.Join(r.onNew(func(w *wire) error {
			if _, err := w.ask("CLIENT TRACKING on REDIRECT " + id[0].Text); err != nil {
				return err
			}
			for range 50 {
				if _, err := w.ask("GET a", "SET a 1", "MGET a b", "DEL a b", "FLUSHDB"); err != nil {
					return err
				}
			}
			_, err := w.ask("CLIENT TRACKINGINFO", "CLIENT GETREDIR", "CLIENT TRACKING off", "GET a")
			return err
		}), listener.send(commands("PING", "UNSUBSCRIBE")), r.exhaust(listener))
	})
}

// rawToggles changes the protocol and leaves every state by RESET, within pipelines.
func rawToggles(_ context.Context, r *round) error {
	if !r.server.since(6.2, 0) {
		return nil // no RESET
	}
	states := []string{"MULTI", "MULTI,GET a", "MULTI,NOSUCH,GET a", "SUBSCRIBE a b", "PSUBSCRIBE a*", "MONITOR", "HELLO 3", "HELLO 3,SUBSCRIBE a b", "CLIENT REPLY OFF,GET none",
		"CLIENT REPLY SKIP", "CLIENT TRACKING on,GET a", "HELLO 3,CLIENT TRACKING on,GET a", "WATCH a,MULTI", "SELECT 3", "MULTI,SUBSCRIBE a,EXEC", "MULTI,HELLO 3,EXEC",
		"HELLO 2,HELLO 3,HELLO 2,HELLO 3", "MULTI,HELLO 3,HELLO 2,GET none,EXEC"}
	if r.server.since(7.0, 0) {
		states = append(states, "SSUBSCRIBE a b")
	}
	var all []error
	for _, state := range states {
		requests := append(strings.Split(state, ","), "PING", "RESET", "GET none", "LPUSH a x", "HELLO 3", "GET none", "HELLO 2", "GET none")
		all = append(all, r.loosely(requests...))
	}
	return errors.Join(all...)
}

// rawMany subscribes to thousands of channels at once, and leaves them at once, while others publish.
func rawMany(_ context.Context, r *round) error {
	const n = 3000
	var channels []string
	for i := range n {
		channels = append(channels, fmt.Sprintf("channel:%d", i))
	}
	subscribe, unsubscribe := multibulk(append([]string{"SUBSCRIBE"}, channels...)...), multibulk(append([]string{"UNSUBSCRIBE"}, channels[:n/2]...)...)
	return r.onNew(func(w *wire) error {
		busy := make(chan error, 1)
		go func() { busy <- r.chatter(200 * time.Millisecond) }()
		for range 3 {
			if err := w.send(subscribe + subscribe + commands("PING", "PSUBSCRIBE n*") + unsubscribe + commands("UNSUBSCRIBE", "PUNSUBSCRIBE", "GET a")); err != nil {
				return err
			}
			if err := r.exhaust(w); err != nil {
				return err
			}
		}
		return <-busy
	})
}

// rawOccupied runs scripts and functions that nest errors, that do not end by themselves, and that are killed.
func rawOccupied(_ context.Context, r *round) error {
	if _, err := r.admin.do("CONFIG SET lua-time-limit 5"); err != nil {
		return err
	}
	scripts := []string{"return {{redis.error_reply('MY one')}, {{redis.error_reply('MY two')}}}", "return redis.pcall('NOSUCH')", "return {ok='fine'}", "return {err='MY error'}",
		"return redis.sha1hex('')", "return {1,2,{3,'four'}}", "return cjson.encode({1})"}
	nested := r.onNew(func(w *wire) error {
		for range 3 {
			stream := ""
			for _, s := range scripts {
				stream += multibulk("EVAL", s, "0") + commands("GET a")
			}
			if err := w.send(stream); err != nil {
				return err
			}
			if err := readAll(w, 2*len(scripts)); err != nil {
				return err
			}
		}
		return nil
	})
	r.allow(scriptErrors, other, exactly(3), exactly(3))
	all := []error{nested, r.killed("SCRIPT KILL", multibulk("EVAL", "while true do end", "0"))}
	if r.server.since(7.0, 0) {
		library := multibulk("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('endless', function() while true do end end)\nredis.register_function('fine', function() return 1 end)")
		all = append(all, r.onNew(func(w *wire) error {
			if err := w.send(library + library + commands("FCALL fine 0", "FCALL none 0", "FCALL fine", "FUNCTION LIST", "FCALL_RO fine 0", "FUNCTION NOSUCH", "FUNCTION STATS")); err != nil {
				return err
			}
			return readAll(w, 9)
		}), r.killed("FUNCTION KILL", commands("FCALL endless 0")))
	}
	return errors.Join(all...)
}

// killed asks while a script runs, and ends the script over the wire.
func (r *round) killed(kill, script string) error {
	return r.onNew(func(w *wire) error {
		behind, replies := commands("GET a", "SET a 1"), 3
		if !r.server.since(6.2, 0) {
			behind, replies = "", 1 // Redis 6.0 leaves lying what it has read behind a script that is killed, until more comes
		}
		if err := w.send(script + behind); err != nil {
			return err
		}
		time.Sleep(aLittle)
		asked := r.onNew(func(w *wire) error {
			_, err := w.ask("GET a", "MULTI", "GET a", "EXEC", "SET a 1", "PING", kill, "GET a")
			return err
		})
		return errors.Join(asked, readAll(w, replies))
	})
}

// rawWaits blocks within transactions, where nothing blocks, and by timeouts in pipelines.
func rawWaits(_ context.Context, r *round) error {
	timeout := "1"
	if r.server.since(6.2, 0) {
		timeout = "0.02"
	}
	return errors.Join(
		r.dialogue(asked("MULTI", "XREAD BLOCK 0 STREAMS s $", "BLPOP none 0", "BRPOPLPUSH none other 0", "BZPOPMIN none 0", "WAIT 1 0", "GET a", "EXEC", "GET a")),
		r.dialogue(asked("BLPOP none "+timeout, "GET a", "LPUSH a x", "SET a 1", "XREAD BLOCK 10 STREAMS s $", "GET a", "BLPOP none "+timeout, "PING", "WAIT 1 10", "PING")),
		r.dialogue(asked("XADD s * a 1", "XGROUP CREATE s g $", "XREADGROUP GROUP g c BLOCK 10 STREAMS s >", "XREADGROUP GROUP none c BLOCK 10 STREAMS s >", "GET a", "XGROUP DESTROY s g")))
}

// rawWatched monitors a server under load, in both protocols.
func rawWatched(_ context.Context, r *round) error {
	return r.onNew(func(w *wire) error {
		if _, err := w.ask("MONITOR"); err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() {
			done <- parallel(3, func(int) error {
				return r.onNew(func(w *wire) error {
					for range 30 {
						if err := w.send(strings.Repeat(commands("SET a 1", "LPUSH a x", "GET a"), 50)); err != nil {
							return err
						}
						if err := readAll(w, 150); err != nil {
							return err
						}
					}
					return nil
				})
			})
		}()
		for range 20 {
			if err := w.send(commands("GET a", "LPUSH a x", "PING", "MULTI", "GET a", "GET none", "EXEC")); err != nil {
				return err
			}
			if err := w.drain(3 * time.Millisecond); err != nil {
				return err
			}
		}
		return errors.Join(<-done, r.exhaust(w))
	})
}
