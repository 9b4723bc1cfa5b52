package session

import (
	"bytes"
	"strings"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// verb is what a command means for pairing.
type verb uint8

const (
	ordinary verb = iota
	script
	ping
	publish
	multi
	exec
	discard
	reset
	hello
	quit
	monitor
	shutdown
	kill
	psync
	sync
	syncSlots
	replconf
	clientReply
	replyOn // CLIENT REPLY by its argument
	replyOff
	replySkip
	subscribe
	psubscribe
	ssubscribe
	unsubscribe
	punsubscribe
	sunsubscribe
	forbidden // a word of HTTP at which the server closes
)

// verbs are the verbs of the built-in commands. Renamed commands have the ID of the command that
// they are.
var verbs = func() []verb {
	v := make([]verb, command.Builtin().Count())
	for id := range v {
		if command.ID(id).Traits()&command.RunsScript != 0 {
			v[id] = script
		}
	}
	for id, verb := range map[command.ID]verb{
		command.Multi: multi, command.Exec: exec, command.Discard: discard, command.Reset: reset, command.Hello: hello, command.Quit: quit,
		command.Ping: ping, command.Publish: publish, command.Spublish: publish, command.Monitor: monitor, command.Shutdown: shutdown,
		command.ClientKill: kill, command.Psync: psync, command.Sync: sync,
		command.ClusterSyncslots: syncSlots, command.Replconf: replconf, command.ClientReply: clientReply,
		command.Subscribe: subscribe, command.Psubscribe: psubscribe, command.Ssubscribe: ssubscribe,
		command.Unsubscribe: unsubscribe, command.Punsubscribe: punsubscribe, command.Sunsubscribe: sunsubscribe,
		command.Post: forbidden, command.Host: forbidden,
	} {
		v[id] = verb
	}
	return v
}()

// scalars[id] is set if a built-in command is never answered by an array, whatever its arguments.
// It names the usual ones.
var scalars = func() []bool {
	table := command.Builtin()
	s := make([]bool, table.Count())
	for _, name := range strings.Fields(`append auth bitcount bitop bitpos copy dbsize decr decrby del discard echo exists expire expireat flushall flushdb
		get getbit getdel getex getrange getset hdel hexists hget hincrby hincrbyfloat hlen hmset hset hsetnx hstrlen incr incrby incrbyfloat
		lindex linsert llen lpush lpushx lrem lset ltrim mset msetnx move multi persist pexpire pexpireat pfadd pfcount pfmerge psetex pttl publish
		rename renamenx rpush rpushx sadd scard sdiffstore select set setbit setex setnx setrange sinterstore sismember smove spublish srem strlen
		substr sunionstore swapdb touch ttl type unlink unwatch watch xack xadd xdel xlen xtrim zcard zcount zdiffstore zincrby zinterstore zlexcount
		zrangestore zrem zremrangebylex zremrangebyrank zremrangebyscore zscore zunionstore`) {
		s[table.Lookup([]byte(name), nil)] = true
	}
	s[command.Other] = false
	return s
}()

// verbOf returns the verb of a request.
func verbOf(id command.ID, r *parser.Request) verb {
	if int(id) >= len(verbs) {
		return ordinary
	}
	switch v := verbs[id]; v {
	case ordinary:
		return ordinary
	case clientReply:
		return replyVerb(r)
	case syncSlots:
		if r.Args < 3 || !bytes.EqualFold(r.Argv[2], []byte("establish")) {
			return ordinary
		}
		return v
	default:
		return v
	}
}

// replyVerb returns the verb of a CLIENT REPLY by its mode. Anything but a mode is answered by an
// error.
func replyVerb(r *parser.Request) verb {
	switch mode := r.Argv[2]; {
	case r.Args != 3:
		return ordinary
	case bytes.EqualFold(mode, []byte("on")):
		return replyOn
	case bytes.EqualFold(mode, []byte("off")):
		return replyOff
	case bytes.EqualFold(mode, []byte("skip")):
		return replySkip
	default:
		return ordinary
	}
}

// simple reports whether a reply that is neither an error nor an aggregate ends the verb's command
// and does nothing else.
func (v verb) simple() bool { return v <= publish }

// setsReplyMode reports whether the verb is a CLIENT REPLY.
func (v verb) setsReplyMode() bool { return v >= replyOn && v <= replySkip }

// subscribes reports whether the verb is answered by acknowledgements.
func (v verb) subscribes() bool { return v >= subscribe && v <= sunsubscribe }

// inSubscribedMode reports whether a RESP2 connection may use the verb while it is subscribed.
func (v verb) inSubscribedMode() bool {
	return v.subscribes() || v == ping || v == quit || v == reset
}

// removes reports whether the verb ends subscriptions.
func (v verb) removes() bool { return v >= unsubscribe && v <= sunsubscribe }

// queued reports whether the server queues the verb inside a transaction.
func (v verb) queued() bool {
	switch v {
	case multi, exec, discard, quit, reset:
		return false
	default:
		return true
	}
}

// blocking returns the flag of a command whose reply may wait for other clients.
func blocking(id command.ID, r *parser.Request) pendingFlags {
	traits := id.Traits()
	if traits&command.Blocks != 0 || traits&command.BlocksWithOption != 0 && r.Block {
		return blocks
	}
	return 0
}

// special notes what the arguments of a request say of its own reply.
func special(p *pending, r *parser.Request) {
	switch p.verb {
	case exec:
		if r.Args != 1 {
			p.flags |= odd
		}
	case replconf:
		if r.Args%2 == 1 && (bytes.EqualFold(r.Argv[1], []byte("ack")) || bytes.EqualFold(r.Argv[1], []byte("getack"))) {
			p.flags |= noReply
		}
	case subscribe, psubscribe, ssubscribe, unsubscribe, punsubscribe, sunsubscribe:
		p.acks = int32(r.Args - 1)
	}
}
