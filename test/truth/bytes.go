package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// traffic is the payload on the connections of a server.
type traffic struct{ requests, replies int }

func (t traffic) less(u traffic) traffic {
	return traffic{t.requests - u.requests, t.replies - u.replies}
}

func (t traffic) plus(u traffic) traffic {
	return traffic{t.requests + u.requests, t.replies + u.replies}
}

// metered counts what passes on a connection.
type metered struct {
	net.Conn
	passed traffic
}

func (m *metered) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	m.passed.replies += n
	return n, err
}

func (m *metered) Write(b []byte) (int, error) {
	n, err := m.Conn.Write(b)
	m.passed.requests += n
	return n, err
}

// compareBytes returns which directions differ. The server may have counted so many more bytes of replies.
func compareBytes(server, observer traffic, more span) []fmt.Stringer {
	return slices.Concat(
		compareCounts("bytes of requests", server.requests, observer.requests, span{}),
		compareCounts("bytes of replies", server.replies, observer.replies, more))
}

// traffic returns the payload that the server counted, without that of this connection. INFO has its own request, and not its
// reply.
func (a *admin) traffic() (traffic, error) {
	replies := a.meter.passed.replies
	r, err := a.do("INFO stats")
	if err != nil {
		return traffic{}, err
	}
	counted := traffic{}
	for line := range strings.Lines(r.Text) {
		_, _ = fmt.Sscanf(line, "total_net_input_bytes:%d", &counted.requests)
		_, _ = fmt.Sscanf(line, "total_net_output_bytes:%d", &counted.replies)
	}
	return counted.less(traffic{a.meter.passed.requests, replies}), nil
}
