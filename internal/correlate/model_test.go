package correlate

import (
	"fmt"
	"strings"
)

// model is a slow and simple server: it executes one request at a time and says what it answers and what should be counted.
// The tracker sees only bytes; the model has the truth.
type model struct {
	resp3      bool
	multi      bool
	queue      []op
	off, skip  bool
	refuses    bool // CLIENT REPLY
	subscribed []string
	want       []string // what should be counted, in order
}

// op is a request.
type op struct {
	name  string // as counted
	args  []string
	reply string // of an ordinary command
	want  string // its outcome
}

// plain are commands that only have a reply. The replies are chosen to look like something else.
var plain = []op{
	{"get", []string{"GET", "a"}, "$-1\r\n", "success"},
	{"set", []string{"SET", "a", "\r\n*1\r\n$4\r\nQUIT\r\n"}, "+OK\r\n", "success"},
	{"lpush", []string{"LPUSH", "a", "b"}, "-WRONGTYPE x\r\n", "error WRONGTYPE"},
	{"lrange", []string{"LRANGE", "a", "0", "1"}, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n", "success"},
	{"incr", []string{"incr", "a"}, ":17\r\n", "success"},
	{"hgetall", []string{"HGETALL", "h"}, "*2\r\n+a\r\n*1\r\n-ERR inside\r\n", "success"},
	{"eval", []string{"EVAL", "x", "0"}, "*1\r\n-ERR inside\r\n", "error other"},
	{"echo", []string{"ECHO", "x"}, "$11\r\n-ERR\r\n>3\r\n+\r\n", "success"},
	{"hmget", []string{"HMGET", "h", "a"}, "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", "success"},
	{"mget", []string{"MGET", "a", "b"}, "*2\r\n+a\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n$-1\r\n", "success"},
	{"sort", []string{"SORT", "a"}, strings.Repeat("*2\r\n+a\r\n", 40) + ":1\r\n", "success"},
	{"other", []string{"NOSUCH"}, "-ERR unknown command\r\n", "error ERR"},
	{"del", []string{"DEL", strings.Repeat("k", 300)}, ":1\r\n", "success"},
	{"getrange", []string{"GETRANGE", "a", "0", "-1"}, "$300\r\n" + strings.Repeat("+", 300) + "\r\n", "success"},
}

func (m *model) count(o op, outcome string) {
	m.want = append(m.want, o.name+" "+outcome)
}

// run executes a request and returns the bytes of its reply.
func (m *model) run(o op) string {
	quiet := m.off || m.skip
	m.skip = false
	reply, outcome := m.execute(o)
	obeys := !m.multi && !m.inSubscribedMode() && !m.refuses
	switch {
	case o.name == "client|reply" && obeys && (o.args[2] == "OFF" || o.args[2] == "SKIP"):
		m.off, m.skip = m.off || o.args[2] == "OFF", o.args[2] == "SKIP" && !m.off
		m.count(o, "silent")
		return ""
	case o.name == "client|reply" && obeys:
		m.off, quiet = false, false
	}
	if quiet && outcome != "" {
		m.count(o, "silent")
		return ""
	}
	if outcome != "" {
		m.count(o, outcome)
	}
	if quiet {
		return ""
	}
	return reply
}

// inSubscribedMode reports whether most commands are refused.
func (m *model) inSubscribedMode() bool { return len(m.subscribed) > 0 && !m.resp3 }

// execute returns the reply, and what is to be counted now, "" if that is not the command itself.
func (m *model) execute(o op) (reply, outcome string) {
	switch {
	case o.name == "multi" && m.multi:
		return "-ERR nested\r\n", "error ERR"
	case o.name == "multi":
		m.multi = true
		return "+OK\r\n", "success"
	case o.name == "discard" && m.multi:
		m.multi, m.queue = false, nil
		return "+OK\r\n", "success"
	case o.name == "exec" && m.multi:
		return m.exec(), "success"
	case o.name == "exec" || o.name == "discard":
		return "-ERR without MULTI\r\n", "error ERR"
	case m.multi:
		m.queue = append(m.queue, o)
		return "+QUEUED\r\n", ""
	}
	return m.plain(o)
}

func (m *model) exec() string {
	var reply strings.Builder
	fmt.Fprintf(&reply, "*%d\r\n", len(m.queue))
	quiet := m.off
	m.multi = false
	for _, o := range m.queue {
		text, outcome := m.plain(o)
		if quiet {
			outcome = "silent"
		}
		m.count(o, outcome)
		reply.WriteString(text)
	}
	m.queue = nil
	return reply.String()
}

func (m *model) plain(o op) (reply, outcome string) {
	switch o.name {
	case "subscribe":
		for _, channel := range o.args[1:] {
			m.join(channel)
			reply += m.kind() + fmt.Sprintf("3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:%d\r\n", len(channel), channel, len(m.subscribed))
		}
		return reply, "success"
	case "unsubscribe":
		if len(m.subscribed) == 0 {
			return m.kind() + "3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n", "success"
		}
		for len(m.subscribed) > 0 {
			channel := m.subscribed[0]
			m.subscribed = m.subscribed[1:]
			reply += m.kind() + fmt.Sprintf("3\r\n$11\r\nunsubscribe\r\n$%d\r\n%s\r\n:%d\r\n", len(channel), channel, len(m.subscribed))
		}
		return reply, "success"
	}
	return o.reply, o.want
}

func (m *model) join(channel string) {
	for _, c := range m.subscribed {
		if c == channel {
			return
		}
	}
	m.subscribed = append(m.subscribed, channel)
}

// pushed returns what the server sends without being asked.
func (m *model) pushed() string {
	switch {
	case len(m.subscribed) > 0:
		return m.kind() + "3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n"
	case m.resp3:
		return ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
	default:
		return ""
	}
}

// kind returns the type byte of what concerns subscriptions.
func (m *model) kind() string {
	if m.resp3 {
		return ">"
	}
	return "*"
}
