package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// a little is long enough for a server to have taken up what was sent.
const aLittle = 60 * time.Millisecond

// rawBlocking blocks connections and frees them in every way.
func rawBlocking(_ context.Context, r *round) error {
	helper, err := r.dial()
	if err != nil {
		return err
	}
	defer helper.Close()
	timeout := "1"
	if r.server.since(6.2, 0) {
		timeout = "0.05"
	}
	all := []error{
		r.dialogue(asked("BLPOP none "+timeout, "GET a"), asked("XREAD BLOCK 20 STREAMS s $", "PING"), asked("BLPOP none x", "BLPOP none")),
		r.dialogue(asked("RPUSH ready x", "BLPOP ready 0", "WAIT 0 20")),
		r.blocked(helper, []string{"BLPOP served 0", "GET a", "SET a 1"}, "RPUSH served x"),
		r.blocked(helper, []string{"BRPOPLPUSH served2 to 0"}, "RPUSH served2 x"),
		r.blocked(helper, []string{"BLPOP wrong 0"}, "SET wrong x", "DEL wrong", "RPUSH wrong x"),
		r.blocked(helper, []string{"XREAD BLOCK 0 STREAMS stream $"}, "XADD stream * a 1"),
		r.blocked(helper, []string{"MULTI", "SET a 1", "EXEC", "BZPOPMIN z 0", "PING"}, "ZADD z 1 a"),
		r.dialogue(asked("CLIENT PAUSE 50", "GET a", "SET a 1")),
	}
	return errors.Join(append(all, r.unblocked(helper), r.deserted())...)
}

// blocked sends requests of which one blocks, and has a helper free it.
func (r *round) blocked(helper *wire, requests []string, free ...string) error {
	w, err := r.dial()
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.send(commands(requests...)); err != nil {
		return err
	}
	time.Sleep(aLittle)
	if _, err := helper.ask(free...); err != nil {
		return err
	}
	_, err = w.read(len(requests))
	return err
}

// unblocked ends blocked commands by CLIENT UNBLOCK.
func (r *round) unblocked(helper *wire) error {
	for _, how := range []string{"TIMEOUT", "ERROR"} {
		w, err := r.dial()
		if err != nil {
			return err
		}
		id, err := w.ask("CLIENT ID")
		if err != nil {
			return err
		}
		if err := w.send(commands("BLPOP blocked 0", "GET a")); err != nil {
			return err
		}
		time.Sleep(aLittle)
		if _, err := helper.ask("CLIENT UNBLOCK " + id[0].Text + " " + how); err != nil {
			return err
		}
		if _, err := w.read(2); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	// An error that is counted and was not sent is missing from those that are left to unknown commands.
	r.allow(unblockError, "client_unblock", exactly(0), exactly(1))
	r.allow(unblockError, other, exactly(-1), exactly(-1))
	switch {
	case r.server.product == valkey:
		r.allow(unblockError, "blpop", exactly(1), exactly(0))
	case r.server.version < 7.2:
		r.allow(unblockTimeout, "blpop", exactly(0), exactly(1))
		r.allow(unblockTimeout, other, exactly(-1), exactly(-1))
	}
	return nil
}

// deserted closes a connection that is blocked: what waits behind the blocked command is never run.
func (r *round) deserted() error {
	for _, end := range []func(*wire) error{(*wire).reset, func(w *wire) error { return w.Close() }} {
		w, err := r.dial()
		if err != nil {
			return err
		}
		if err := w.send(commands("SET a 1", "BLPOP forever 0", "SET never 1", "GET never")); err != nil {
			return err
		}
		if r.transport.name == "tls" { // or what is left unread, tickets too, may have been the replies to all of it
			if _, err := w.read(1); err != nil {
				return err
			}
		}
		time.Sleep(aLittle)
		if err := end(w); err != nil {
			return err
		}
		if r.server.version >= 7.2 {
			r.allow(blockedGone, "blpop", exactly(-1), exactly(0))
		}
	}
	return nil
}

// rawEndings ends connections with commands outstanding, from either side.
func rawEndings(_ context.Context, r *round) error {
	ends := map[string]func(w *wire, victim string) error{
		"close": func(w *wire, _ string) error { return w.Close() },
		"reset": func(w *wire, _ string) error { return w.reset() },
		"half a request": func(w *wire, _ string) error {
			return errors.Join(w.send("*2\r\n$3\r\nGET\r\n$10\r\nhal"), w.Close())
		},
		"killed": func(w *wire, victim string) error { return errors.Join(r.kill(w, victim), w.Close()) },
		"kills itself": func(w *wire, victim string) error {
			return errors.Join(w.send(commands("CLIENT KILL "+victim, "GET never")), w.drain(patience), w.Close())
		},
	}
	var all []error
	for name, end := range ends {
		for _, answered := range []bool{true, false} {
			w, err := r.dial()
			if err != nil {
				return err
			}
			if _, err := w.ask("SET a 1"); err != nil {
				return err
			}
			itself, err := victim(w)
			if err != nil {
				return err
			}
			if err := w.send(commands("GET a", "INCR n", "LPUSH a x")); err != nil {
				return err
			}
			time.Sleep(pace)
			if answered {
				if _, err := w.read(3); err != nil {
					return err
				}
			}
			time.Sleep(aLittle)
			if err := end(w, itself); err != nil {
				all = append(all, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	return errors.Join(all...)
}

// rawBehind sends on connections that the server has closed, as pools do whose connections were idle for too long. The server never reads
// what comes behind its FIN.
func rawBehind(_ context.Context, r *round) error {
	closes := []func(w *wire, victim string) error{
		r.kill,
		func(w *wire, _ string) error { _, err := w.ask("QUIT"); return errors.Join(err, w.drain(patience)) },
	}
	var all []error
	for _, closed := range closes {
		all = append(all, r.times(20, func(w *wire) error {
			_, err := w.ask("SET a 1", "GET a")
			itself, err2 := victim(w)
			if err := errors.Join(err, err2, closed(w, itself)); err != nil {
				return err
			}
			for range 3 { // the first is answered by a reset
				_ = w.send(commands("INCR n", "GET n"))
				time.Sleep(pace)
			}
			return nil
		}))
	}
	return errors.Join(all...)
}

// kill has the server end a connection.
func (r *round) kill(w *wire, victim string) error {
	id, err := w.ask("PING")
	if err != nil || len(id) == 0 {
		return err
	}
	time.Sleep(aLittle)
	helper, err := r.dial()
	if err != nil {
		return err
	}
	defer helper.Close()
	if _, err := helper.ask("CLIENT KILL " + victim); err != nil {
		return err
	}
	return w.drain(patience)
}

// rawAccess is refused in every way: before it has said who it is, by access rules, and between being queued and run.
func rawAccess(_ context.Context, r *round) error {
	if _, err := r.admin.do("ACL SETUSER limited on >secret ~open* +get +set +multi +exec +ping"); err != nil {
		return err
	}
	limited := r.dialogue(asked("AUTH limited secret", "GET open", "GET closed", "SET open 1", "LPUSH l x", "CONFIG GET save", "NOSUCH",
		"MULTI", "GET closed", "EXEC", "MULTI", "GET open", "EXEC"))
	if _, err := r.admin.do("CONFIG SET requirepass secret"); err != nil {
		return err
	}
	// Redis 8.0 leaves a failed AUTH without an answer unless it is the first request that it reads.
	strangers := r.dialogue(asked("AUTH wrong"), asked("PING", "GET a", "HELLO 3", "AUTH", "MULTI", "EXEC", "AUTH secret", "GET a", "HELLO 3 AUTH default secret", "PING"))
	if _, err := r.admin.do("CONFIG SET maxmemory 1"); err != nil {
		return err
	}
	full := r.dialogue(asked("AUTH secret", "SET a 1", "GET a", "MULTI", "GET a", "SET a 1", "EXEC"))
	return errors.Join(limited, strangers, full)
}

// rawScripts runs scripts that call commands and fail in every way.
func rawScripts(_ context.Context, r *round) error {
	w, err := r.dial()
	if err != nil {
		return err
	}
	defer w.Close()
	scripts := []string{
		"return 1",
		"return redis.call('SET', 'a', '1')",
		"return redis.call('LPUSH', 'a', 'x')",
		"return redis.pcall('LPUSH', 'a', 'x')",
		"redis.pcall('LPUSH', 'a', 'x') return 1",
		"return redis.error_reply('MY error')",
		"return {1, {2, redis.error_reply('MY error')}}",
		"return error('x')",
		"this is no Lua",
	}
	for _, script := range scripts {
		if err := w.send(multibulk("EVAL", script, "0")); err != nil {
			return err
		}
		if _, err := w.read(1); err != nil {
			return err
		}
	}
	r.allow(scriptInner, "set", exactly(1), exactly(0))
	r.allow(scriptInner, "lpush", exactly(3), exactly(3))
	r.allow(scriptErrors, other, exactly(-2), exactly(-2))
	r.allowEngine(1)
	_, err = w.ask("EVALSHA ffffffffffffffffffffffffffffffffffffffff 0", "SCRIPT EXISTS x", "SCRIPT FLUSH", "GET a")
	return err
}

// allowEngine grants what Valkey 9 asks itself at every SCRIPT FLUSH.
func (r *round) allowEngine(flushes int) {
	if r.server.product == valkey && r.server.version >= 9 {
		r.allow(scriptEngine, "config_get", exactly(flushes), exactly(0))
	}
}
