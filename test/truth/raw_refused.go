package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// loosely plays requests of which nobody says what will be answered: each in a write of its own, all in one write, and byte by
// byte with replies read in small pieces.
func (r *round) loosely(requests ...string) error {
	return errors.Join(r.separately(requests), r.atOnce(requests), r.bytewise(requests))
}

// shortly is longer than a server takes to answer.
const shortly = 6 * time.Millisecond

func (r *round) separately(requests []string) error {
	return r.onNew(func(w *wire) error {
		for _, request := range requests {
			if w.send(commands(request)) != nil {
				return nil // the server has closed
			}
			if err := w.drain(shortly); err != nil {
				return err
			}
		}
		return r.exhaust(w)
	})
}

func (r *round) atOnce(requests []string) error {
	return r.onNew(func(w *wire) error {
		return errors.Join(w.send(commands(requests...)), r.exhaust(w))
	})
}

func (r *round) bytewise(requests []string) error {
	return r.onNew(func(w *wire) error {
		written := make(chan struct{})
		go func() {
			defer close(written)
			for _, b := range []byte(commands(requests...)) {
				if _, err := w.Write([]byte{b}); err != nil {
					return // the server has closed
				}
			}
		}()
		for {
			if err := w.sip(3, shortly); err != nil {
				return err
			}
			select {
			case <-written:
				return r.exhaust(w)
			default:
			}
		}
	})
}

// exhaust waits until the server has read all that was sent to it, and reads what it has to say to that. A connection that is
// closed before is reset by what comes too late, and the server never reads what it has not read by then.
func (r *round) exhaust(w *wire) error {
	return errors.Join(r.awaitRead(w), w.drain(aLittle))
}

// sip reads a few bytes at a time until there are no more for a while.
func (w *wire) sip(size int, silence time.Duration) error {
	few := make([]byte, size)
	return w.untilSilent(silence, func() error {
		_, err := w.Read(few)
		return err
	})
}

// onNew uses a new connection and closes it.
func (r *round) onNew(use func(*wire) error) error {
	w, err := r.dial()
	if err != nil {
		return err
	}
	defer w.Close()
	return use(w)
}

// rawRefused has the server refuse what would have changed the connection, in every way.
func rawRefused(_ context.Context, r *round) error {
	if _, err := r.admin.do("ACL SETUSER less on >x ~* +@all -multi -quit -monitor -subscribe -hello -exec"); err != nil {
		return err
	}
	var all []error
	if r.server.since(6.2, 0) {
		r.allow(silentFailure, "reset", exactly(0), exactly(3)) // RESET x, in three ways
		all = append(all, r.loosely("CLIENT REPLY SKIP", "RESET", "PING", "GET a"), r.loosely("CLIENT REPLY OFF", "RESET", "PING", "GET a"),
			r.loosely("CLIENT REPLY OFF", "RESET x", "GET a", "CLIENT REPLY ON", "PING"))
	}
	return errors.Join(append(all,
		r.loosely("MULTI x", "CLIENT REPLY OFF", "GET a", "CLIENT REPLY ON", "PING", "GET a"),
		r.loosely("MULTI", "EXEC x", "CLIENT REPLY SKIP", "GET a", "EXEC", "GET a", "PING"),
		r.loosely("MULTI", "DISCARD x", "SET a 1", "CLIENT REPLY SKIP", "EXEC", "GET a", "PING", "PING"),
		r.loosely("MULTI", "MULTI x", "WATCH", "EXEC", "CLIENT REPLY SKIP", "PING", "GET a"),
		r.loosely("AUTH less x", "MULTI", "CLIENT REPLY SKIP", "GET a", "PING", "GET a", "EXEC"),
		r.loosely("AUTH less x", "SUBSCRIBE a b", "PING", "MONITOR", "GET a", "HELLO 3", "GET none", "QUIT", "GET a", "PING"),
		r.loosely("CLIENT REPLY OFF", "SELECT 1", "QUIT", "GET a"),
		r.loosely("CLIENT REPLY SKIP", "QUIT", "GET a"),
		r.loosely("REPLCONF ACK", "PING", "REPLCONF ACK 1", "PING", "REPLCONF", "GET a"),
		r.loosely("MULTI", "REPLCONF ACK 1", "GET a", "EXEC", "PING"),
		r.loosely("PSYNC", "PSYNC x", "SYNC x", "MONITOR x", "SUBSCRIBE", "UNSUBSCRIBE", "PING"),
		r.loosely("DEL l", "RPUSH l message a text", "MULTI", "SUBSCRIBE a", "LRANGE l 0 -1", "PUBLISH a x", "LRANGE l 0 -1", "EXEC", "PING"),
		r.loosely("CLIENT NO-EVICT on", "client no-evict OFF", "CLIENT", "client nosuch", "CoNfIg GeT save", "OBJECT help", "xinfo HELP", "CONFIG", "config get"),
		r.muted(), r.protocolErrorText())...)
}

// protocolErrorText has a script answer what looks like the server's last words.
func (r *round) protocolErrorText() error {
	request := multibulk("EVAL", "return redis.error_reply('ERR Protocol error: none')", "0")
	return r.onNew(func(w *wire) error {
		for range 3 {
			if err := w.send(request + commands("GET a")); err != nil {
				return err
			}
			if _, err := w.read(2); err != nil {
				return err
			}
		}
		return nil
	})
}

// rawStates has the server refuse what it cannot do in the state that it is in.
func rawStates(_ context.Context, r *round) error {
	requests := []string{"SET a 1", "GET a", "MULTI", "SET a 1", "GET a", "EXEC", "SUBSCRIBE a", "PING", "UNSUBSCRIBE", "PUBLISH a x", "WATCH a", "HELLO 3", "LPUSH a x", "EVALSHA x 0", "QUIT"}
	settings := [][2]string{
		{"CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"},
		{"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"},
	}
	var all []error
	for _, setting := range settings {
		_, err := r.admin.do(setting[0])
		all = append(all, err, r.loosely(requests...))
		_, err = r.admin.do(setting[1])
		all = append(all, err)
	}
	for _, setting := range []string{"CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 1"} {
		_, err := r.admin.do(setting)
		all = append(all, err)
	}
	all = append(all, r.loosely(requests...))
	for _, setting := range []string{"REPLICAOF NO ONE", "CONFIG SET replica-serve-stale-data yes"} {
		_, err := r.admin.do(setting)
		all = append(all, err)
	}
	return errors.Join(append(all, r.occupied(requests), r.unknown())...)
}

// occupied asks while a script runs that does not end by itself.
func (r *round) occupied(requests []string) error {
	if _, err := r.admin.do("CONFIG SET lua-time-limit 5"); err != nil {
		return err
	}
	if r.server.product == valkey {
		// Since Valkey 9 CLIENT REPLY is obeyed even then, and what it silences is refused unseen.
		for _, label := range []string{"get", "set", "ping"} {
			r.allow(silentFailure, label, exactly(0), span{0, 2})
		}
	}
	return r.onNew(func(w *wire) error {
		if err := w.send(multibulk("EVAL", "while true do end", "0")); err != nil {
			return err
		}
		time.Sleep(aLittle)
		// Not byte by byte: nothing but their number shows which of the complaints that all read alike is whose.
		mute := []string{"CLIENT REPLY SKIP", "GET a", "LPUSH a x", "CLIENT REPLY OFF", "SET a 1", "PING"}
		busy := errors.Join(r.loosely(requests...), r.separately(mute), r.atOnce(mute))
		if _, err := r.admin.do("SCRIPT KILL"); err != nil {
			return err
		}
		_, err := w.read(1)
		return errors.Join(busy, err)
	})
}

// unknown is refused as a stranger who sends more than a stranger may.
func (r *round) unknown() error {
	if !r.server.since(6.2, 0) {
		return nil
	}
	if _, err := r.admin.do("CONFIG SET requirepass secret"); err != nil {
		return err
	}
	long := multibulk("SET", "a", strings.Repeat("v", 20000))
	many := commands("MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7")
	r.allow(protocolError, other, exactly(6), exactly(6))
	// The server resets what it has not read, and with it its complaint. It never runs an MSET, so ours are among the unknown ones.
	for _, label := range []string{"set", other} {
		r.allow(unanswered, label, span{-3, 0}, span{-3, 0})
	}
	if r.server.doublesComplaints() {
		r.allow(protocolErrorTwice, other, span{0, 6}, span{0, 6})
		r.allow(neverRead, "set", span{-3, 0}, span{-3, 0}) // nor does it close, or answer what it read with the breach
		r.allow(neverRead, "mset", span{-3, 0}, exactly(0))
		// Under load it drops its complaint: no error is counted, and nothing is sent.
		r.allow(neverRead, other, span{-6, 0}, span{-6, 0})
	}
	var all []error
	for _, request := range []string{long, many} {
		for _, first := range []int{len(request), 28, 5} {
			all = append(all, r.onNew(func(w *wire) error {
				// The server may have closed, over TLS even before the second record of what is sent first.
				if w.send(commands("GET a")+request[:first]) == nil {
					time.Sleep(pace)
					_, _ = io.WriteString(w, request[first:])
				}
				// Redis 8.0 with I/O threads may neither answer nor close, nor read any more.
				return w.drain(5 * aLittle)
			}))
		}
	}
	return errors.Join(all...)
}

// rawHuge sends requests of very many arguments and reads replies of very many elements.
func rawHuge(_ context.Context, r *round) error {
	const n, piece = 100000, 512 << 10 // the observers copy up to 1 MiB of a call
	var fields []string
	for i := range n {
		fields = append(fields, fmt.Sprintf("\r\n$4\r\nPING:%d", i))
	}
	requests := multibulk(append([]string{"RPUSH", "huge"}, fields...)...) + commands("LRANGE huge 0 -1", "GET none") +
		multibulk(append([]string{"DEL"}, fields...)...) + commands("MULTI", "LRANGE huge 0 -1", "LLEN huge", "EXEC", "DEL huge")
	return r.onNew(func(w *wire) error {
		failure := make(chan error, 1)
		go func() {
			for len(requests) > piece {
				if err := w.send(requests[:piece]); err != nil {
					failure <- err
					return
				}
				requests = requests[piece:]
			}
			failure <- w.send(requests)
		}()
		_, err := w.read(9)
		return errors.Join(err, <-failure)
	})
}
