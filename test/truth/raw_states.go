package main

import (
	"context"
	"errors"
	"time"
)

// step is a piece of a dialogue: what is sent, and how many frames answer it.
type step struct {
	requests []string
	frames   int
}

// asked is a step in which each request has one frame for an answer.
func asked(requests ...string) step { return step{requests, len(requests)} }

// told is a step with another number of frames.
func told(frames int, requests ...string) step { return step{requests, frames} }

// dialogue plays steps on a connection, each in a write of its own, and then all of them in one write on another connection.
func (r *round) dialogue(steps ...step) error {
	for _, pipelined := range []bool{false, true} {
		w, err := r.dial()
		if err != nil {
			return err
		}
		if err := play(w, steps, pipelined); err != nil {
			return err
		}
		if err := w.drain(20 * time.Millisecond); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return nil
}

func play(w *wire, steps []step, pipelined bool) error {
	all, frames := "", 0
	for _, s := range steps {
		if pipelined {
			all += commands(s.requests...)
			frames += s.frames
			continue
		}
		if err := w.send(commands(s.requests...)); err != nil {
			return err
		}
		if _, err := w.read(s.frames); err != nil {
			return err
		}
	}
	if err := w.send(all); err != nil {
		return err
	}
	_, err := w.read(frames)
	return err
}

// rawSilence asks for no replies. What fails meanwhile fails unseen.
func rawSilence(_ context.Context, r *round) error {
	const connections = 2 // a dialogue is played twice
	r.allow(silentFailure, "lpush", exactly(0), exactly(2*connections))
	return errors.Join(
		r.dialogue(asked("SET a 1"), told(0, "CLIENT REPLY OFF", "SET a 2", "GET a", "LPUSH a x", "INCR n"), told(1, "CLIENT REPLY ON"), asked("GET a")),
		r.dialogue(told(0, "CLIENT REPLY SKIP", "INCR n"), asked("GET n"), told(0, "CLIENT REPLY SKIP", "LPUSH a x"), asked("PING")),
		r.dialogue(told(0, "CLIENT REPLY SKIP", "MULTI"), asked("INCR n", "EXEC", "GET n")),
		r.dialogue(told(0, "CLIENT REPLY OFF", "CLIENT REPLY SKIP", "GET a"), told(1, "CLIENT REPLY ON"), asked("PING")),
		r.dialogue(asked("CLIENT REPLY NEITHER", "CLIENT REPLY", "GET a")))
}

// rawTransactions ends transactions in every way.
func rawTransactions(_ context.Context, r *round) error {
	all := []error{
		r.dialogue(asked("SET a 1", "MULTI", "INCR a", "LPUSH a x", "GET a", "EXEC", "GET a")),
		r.dialogue(asked("MULTI", "EXEC", "EXEC", "DISCARD", "MULTI", "DISCARD")),
		r.dialogue(asked("MULTI", "SET b 1", "DISCARD", "GET b")),
		r.dialogue(asked("MULTI", "GET", "SET b 1", "NOSUCH", "EXEC", "GET b")),
		r.dialogue(asked("WATCH w", "SET w 1", "MULTI", "SET never 1", "EXEC", "GET never")),
		r.dialogue(asked("WATCH w", "UNWATCH", "MULTI", "SET w 1", "PING", "ECHO x", "EXEC")),
		r.dialogue(asked("MULTI", "MULTI", "SET c 1", "EXEC", "DISCARD")),
		r.dialogue(asked("MULTI", "WATCH w", "SET c 1", "EXEC", "DISCARD")),
		r.dialogue(asked("MULTI", "EXEC extra", "SET c 1", "EXEC", "DISCARD")),
		r.dialogue(asked("MULTI", "BLPOP empty 0", "GET a", "EXEC")),
		r.dialogue(asked("MULTI", "SET d 1")),
		r.dialogue(asked("DEL l", "RPUSH l a b c", "MULTI", "LRANGE l 0 -1", "HGETALL none", "LRANGE l 0 -1", "EXEC")),
		r.dialogue(asked("MULTI", "CONFIG GET save", "CLIENT ID", "INFO server", "COMMAND COUNT", "EXEC")),
	}
	if r.server.since(6.2, 0) {
		all = append(all, r.dialogue(asked("MULTI", "SET e 1", "RESET", "GET e")))
	}
	return errors.Join(all...)
}

// rawPubSub subscribes in every way, in both protocols, and inside of transactions. Two connections publish meanwhile.
func rawPubSub(_ context.Context, r *round) error {
	all := []error{
		r.dialogue(told(3, "SUBSCRIBE a b a"), told(2, "PSUBSCRIBE p* q*"), asked("PING", "PING text"), asked("GET a"), told(2, "UNSUBSCRIBE a none"),
			told(1, "UNSUBSCRIBE"), told(2, "PUNSUBSCRIBE"), asked("GET a", "LRANGE l 0 -1")),
		r.dialogue(told(1, "UNSUBSCRIBE"), told(1, "PUNSUBSCRIBE"), told(1, "UNSUBSCRIBE a"), asked("SUBSCRIBE", "GET a")),
		r.dialogue(asked("DEL l", "RPUSH l message a text", "LRANGE l 0 -1", "RPUSH l subscribe"), told(1, "SUBSCRIBE a"), told(1, "UNSUBSCRIBE"),
			asked("LRANGE l 0 -1", "GET a")),
		r.heard("PUBLISH a x", "SUBSCRIBE a b", 2),
		r.heard("PUBLISH pattern x", "PSUBSCRIBE p* *n", 2),
	}
	if !r.server.since(6.2, 0) {
		return errors.Join(all...)
	}
	all = append(all,
		r.dialogue(asked("HELLO 3"), told(2, "SUBSCRIBE a b"), asked("GET a", "PING", "SET a 1"), told(2, "UNSUBSCRIBE"), asked("GET a")),
		r.dialogue(told(1, "SUBSCRIBE a"), asked("RESET", "GET a")),
		r.dialogue(asked("HELLO 3"), told(1, "SUBSCRIBE a"), asked("HELLO 2", "PING"), told(1, "UNSUBSCRIBE"), asked("GET a")))
	if r.server.since(7.0, 0) {
		all = append(all, r.dialogue(told(2, "SSUBSCRIBE a b"), asked("PING"), told(1, "SUNSUBSCRIBE a"), told(1, "SUNSUBSCRIBE"), asked("GET a")),
			r.heard("SPUBLISH a x", "SSUBSCRIBE a", 1))
	}
	return errors.Join(all...)
}

// heard listens on a connection while another publishes, and asks for the subscription within a transaction too.
func (r *round) heard(publish, subscribe string, acknowledgements int) error {
	listener, err := r.dial()
	if err != nil {
		return err
	}
	defer listener.Close()
	speaker, err := r.dial()
	if err != nil {
		return err
	}
	defer speaker.Close()
	if _, err := listener.ask("SET text x"); err != nil {
		return err
	}
	if err := listener.send(commands("MULTI", "GET text", subscribe, "PING", "EXEC")); err != nil {
		return err
	}
	// OK, three times QUEUED, and an array of three, of which the subscription gives more than one.
	if _, err := listener.read(4); err != nil {
		return err
	}
	if err := listener.drain(30 * time.Millisecond); err != nil {
		return err
	}
	for range 50 {
		if _, err := speaker.ask(publish, publish, "INCR n"); err != nil {
			return err
		}
	}
	if err := listener.send(commands(subscribe, "PING")); err != nil {
		return err
	}
	return listener.drain(30 * time.Millisecond)
}

// rawMonitor watches the server's commands, its own among them, and those within a transaction.
func rawMonitor(_ context.Context, r *round) error {
	quiet := r.dialogue(told(1, "MONITOR"), step{[]string{"MONITOR"}, 0})
	w, err := r.dial()
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.ask("SET a 1", "MONITOR"); err != nil {
		return err
	}
	busy := r.chatter(100 * time.Millisecond)
	if err := w.send(commands("GET a", "MULTI", "INCR a", "LPUSH a x", "EXEC", "GET a")); err != nil {
		return err
	}
	if err := w.drain(50 * time.Millisecond); err != nil {
		return err
	}
	return errors.Join(quiet, busy, r.monitored())
}

// monitored begins to monitor within a transaction, and ends it by RESET.
func (r *round) monitored() error {
	w, err := r.dial()
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.send(commands("MONITOR", "PING", "GET a")); err != nil {
		return err
	}
	if err := w.drain(30 * time.Millisecond); err != nil {
		return err
	}
	if err := r.chatter(50 * time.Millisecond); err != nil || !r.server.since(6.2, 0) {
		return err
	}
	if err := w.send(commands("RESET", "GET a", "PING")); err != nil {
		return err
	}
	return w.drain(30 * time.Millisecond)
}

// rawProtocols changes the protocol, and asks for every type of reply and for pushes before and after them.
func rawProtocols(_ context.Context, r *round) error {
	all := []error{
		r.dialogue(asked("HELLO 3", "PING", "HELLO 2", "PING", "HELLO 9", "HELLO x", "HELLO", "HELLO 3 AUTH default wrong", "HELLO 3 SETNAME me", "CLIENT GETNAME")),
		r.dialogue(asked("MULTI", "HELLO 3", "GET a", "EXEC", "GET none")),
		r.dialogue(asked("DEBUG ERROR MINE", "GET none", "DEBUG ERROR", "CLIENT SETINFO LIB-NAME me", "CLIENT SETINFO NOSUCH me", "CLIENT MAINT_NOTIFICATIONS ON", "PING")),
	}
	r.allow(debugError, "debug", exactly(0), exactly(-2)) // a dialogue is played twice
	types := []string{"string", "integer", "double", "null", "array", "set", "map", "true", "false", "verbatim"}
	if r.server.since(6.2, 0) {
		types = append(types, "bignum", "attrib", "push")
	}
	for _, hello := range []string{"HELLO 2", "HELLO 3"} {
		steps := []step{asked(hello)}
		for _, kind := range types {
			frames := 1
			if kind == "push" && hello == "HELLO 2" {
				continue
			}
			if kind == "push" {
				frames = 2
			}
			steps = append(steps, told(frames, "DEBUG PROTOCOL "+kind), asked("PING"))
		}
		all = append(all, r.dialogue(steps...))
	}
	return errors.Join(append(all, r.tracked())...)
}

// tracked has keys tracked that others and the connection itself change.
func (r *round) tracked() error {
	w, err := r.dial()
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.ask("HELLO 3", "CLIENT TRACKING on"); err != nil {
		return err
	}
	for range 20 {
		if err := w.send(commands("GET a", "GET b", "SET a 1", "GET a")); err != nil {
			return err
		}
		if err := r.chatter(5 * time.Millisecond); err != nil {
			return err
		}
		if err := w.send(commands("GET a", "MULTI", "GET a", "SET a 2", "EXEC")); err != nil {
			return err
		}
		if err := w.drain(5 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
