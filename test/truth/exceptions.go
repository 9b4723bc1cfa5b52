package main

import "fmt"

// exception names a reason for which a server's count and the observer's may differ.
type exception struct {
	name   string
	reason string
}

// exceptions are all that there are. docs/accuracy.md lists them.
var exceptions []exception

func except(name, reason string) exception {
	e := exception{name, reason}
	exceptions = append(exceptions, e)
	return e
}

var (
	scriptInner = except("script-inner",
		"commands that a script or function calls are counted by the server and are not on the wire")
	scriptEngine = except("script-engine",
		"the script engine of Valkey 9 reads the configuration by CONFIG GET whenever its scripts are flushed")
	blockedGone = except("blocked-gone",
		"a client that goes while it is blocked: Redis up to 7.0 counts the command when it blocks, later ones when it is served, so never; the observer counts a command that was given up")
	unblockError = except("unblock-error",
		"CLIENT UNBLOCK ERROR fails without an error reply of its own, and Valkey counts the command that it ended once more as rejected")
	unblockTimeout = except("unblock-timeout",
		"CLIENT UNBLOCK TIMEOUT is counted as a failed call by Redis 7.0, although no error was sent")
	waitTwice = except("wait-twice",
		"WAIT is counted when it blocks and again when it is done, from Redis 7.2 on")
	silentFailure = except("silent-failure",
		"a command fails whose reply CLIENT REPLY withheld: nothing on the wire shows it")
	unanswered = except("unanswered",
		"the server or the network ended the connection with the command outstanding: an error for its caller, whatever the server made of it")
	unread = except("unread",
		"the client closed without reading the reply: nobody received the error, and the observer does not know of it")
	debugError = except("debug-error",
		"DEBUG ERROR answers an error that no counter of the server counts, neither `failed_calls` nor `total_error_replies`; the caller saw one")
	neverRead = except("never-read",
		"the client closed or was killed before the server had read or run what it had sent")
	quitUncounted = except("quit-uncounted",
		"Redis 6 answers QUIT before it looks commands up, and does not count it")
	unknownSubcommand = except("unknown-subcommand",
		"Redis 6 counts a subcommand that it does not know for the container; later versions do not count it, and the observer calls it other")
	protocolError = except("protocol-error",
		"the server counts its complaint about a breach of the protocol among the error replies, and the observer among protocol errors: it answers no command")
	protocolErrorTwice = except("protocol-error-twice",
		"Redis 8.0 with I/O threads counts that complaint a second time")
	httpWord = except("http-word",
		"Redis 6 counts POST, with which it closes the connection, as a command")
	httpUnanswered = except("http-unanswered",
		"a browser's GET is answered by closing at its Host line: nothing on that connection shows that it speaks to a Redis server")
	linkBackwards = except("link-backwards",
		"the server that imports slots asks the exporting one over the link that this one opened: it counts there, and is no reply to anything")
	scriptErrors = except("script-errors",
		"errors within scripts are counted among the error replies once, twice or not at all, by version")
	nullWithin = except("null-within",
		"null of something else than a key: a field, member, index or entry that is not there, each of those asked of one missing key, a key of another type in MGET")
	nullUncounted = except("null-uncounted",
		"null of a command that looks its key up without counting (all that write, MEMORY USAGE, OBJECT of Redis 6.0), of a condition that did not hold, of a wait in vain, of a function that returns nothing")
	missWithoutNull = except("miss-without-null",
		"a command that reads a missing key answers a number, an empty collection or string, or an error, and not null")
	missTwice = except("miss-twice",
		"XREAD looks each key up twice")
	silentMiss = except("silent-miss",
		"a key is missed by a command whose reply CLIENT REPLY withheld")
)

// exceptionOf returns the exception of a name.
func exceptionOf(name string) (exception, error) {
	for _, e := range exceptions {
		if e.name == name {
			return e, nil
		}
	}
	return exception{}, fmt.Errorf("there is no exception %q", name)
}

// span is how much more than the observer the server may count.
type span struct{ low, high int }

func (s span) holds(n int) bool { return s.low <= n && n <= s.high }

func (s span) plus(t span) span { return span{s.low + t.low, s.high + t.high} }

// countDifference is a count of something else than commands that differs by more than is allowed.
type countDifference struct {
	what             string
	server, observer int
	allowed          span
}

func (d countDifference) String() string {
	return fmt.Sprintf("%s: server %d, observer %d (the server may count %d to %d more)", d.what, d.server, d.observer, d.allowed.low, d.allowed.high)
}

// compareCounts returns the difference of two counts of something, or nothing.
func compareCounts(what string, server, observer int, allowed span) []fmt.Stringer {
	if allowed.holds(server - observer) {
		return nil
	}
	return []fmt.Stringer{countDifference{what, server, observer, allowed}}
}

// allowance is one use of an exception: the command, and by how much the server's counts may exceed the observer's.
type allowance struct {
	exception exception
	label     string
	total     span
	errors    span
	misses    span // of keys, more than there are nulls
}

// spans adds up the allowances of a command.
func spans(allowed []allowance, label string) (total, errors span) {
	for _, a := range allowed {
		if a.label != label {
			continue
		}
		total, errors = total.plus(a.total), errors.plus(a.errors)
	}
	return total, errors
}

// standing returns the exceptions that hold in every round: those that the observer's own counters account for, and those of
// an old version.
func standing(s *server, seen sighting) (allowed []allowance) {
	for label := range seen.commands {
		if seen.broken > 0 {
			allowed = append(allowed, allowance{exception: unanswered, label: label, errors: span{-seen.broken, 0}})
		}
		if seen.givenUp > 0 {
			allowed = append(allowed, allowance{exception: unread, label: label, errors: span{0, seen.givenUp}})
		}
	}
	if s.countsErrors() {
		return allowed
	}
	quits := seen.commands["quit"].total
	allowed = append(allowed, allowance{exception: quitUncounted, label: "quit", total: exactly(-quits)})
	for _, container := range containers {
		allowed = append(allowed, allowance{exception: unknownSubcommand, label: container, total: span{0, seen.commands[other].total}})
	}
	return allowed
}
