package socket

import (
	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/event"
)

var kinds = [...]event.Kind{
	bpf.Sent:        event.Data,
	bpf.Received:    event.Data,
	bpf.SentGap:     event.Gap,
	bpf.ReceivedGap: event.Gap,
	bpf.Opened:      event.Open,
	bpf.Existing:    event.Existing,
	bpf.HalfClosed:  event.HalfClosed,
	bpf.PeerClosed:  event.PeerClosed,
	bpf.Closed:      event.Closed,
	bpf.Opening:     event.Opening,
	bpf.OtherStream: event.OtherStream,
	bpf.Owner:       event.Owned,
	bpf.Ending:      event.Ending,
	bpf.Failed:      event.ConnectFailed,
}

var reasons = [...]event.Reason{
	bpf.GapTruncated:   event.Truncated,
	bpf.GapUnreadable:  event.Unreadable,
	bpf.GapNotInMemory: event.NotInMemory,
	bpf.GapCrowded:     event.Crowded,
	bpf.GapUrgent:      event.Urgent,
	bpf.GapUnseen:      event.Unseen,
}

var streams = [...]event.Stream{
	bpf.StreamMPTCP:     event.MPTCP,
	bpf.StreamKTLS:      event.KTLS,
	bpf.StreamSockmap:   event.Sockmap,
	bpf.StreamSMC:       event.SMC,
	bpf.StreamSCTP:      event.SCTP,
	bpf.StreamSeqpacket: event.Seqpacket,
}

var failures = [...]event.Failure{
	bpf.ConnectOther:       event.OtherFailure,
	bpf.ConnectRefused:     event.Refused,
	bpf.ConnectTimedOut:    event.TimedOut,
	bpf.ConnectUnreachable: event.Unreachable,
	bpf.ConnectReset:       event.ConnectReset,
	bpf.ConnectGivenUp:     event.GivenUp,
	bpf.ConnectNoPort:      event.NoPort,
}

var plaintexts = [...]event.Plaintext{
	bpf.Plaintext:             event.PlaintextFromHere,
	bpf.Plaintext | bpf.Whole: event.WholePlaintext,
}

// kindOf returns the kind of an event, 0 if the event is not to be delivered.
func kindOf(head *bpf.Event) event.Kind {
	if int(head.Kind) < len(kinds) {
		return kinds[head.Kind]
	}
	return 0
}

// translate converts an event of the probes. It returns false if the event is not to be delivered.
func (l *Live) translate(e *event.Event, head *bpf.Event, payload []byte) bool {
	kind := kindOf(head)
	if kind == 0 {
		l.take(head, payload)
		return false
	}
	if l.ignore(head) {
		return false
	}
	l.events++
	l.bytes += uint64(len(payload))
	server := head.Role == bpf.RoleServer
	e.Kind = kind
	e.Conn = head.Conn
	e.Time = int64(head.Time)
	e.Endpoints.Local, e.Endpoints.LocalPort = head.Local, head.LocalPort
	e.Endpoints.Remote, e.Endpoints.RemotePort = head.Remote, head.RemotePort
	e.Role = event.Client
	if server {
		e.Role = event.Server
	}
	e.Data = payload
	e.Reach = l.reach
	e.Plaintext = event.NotPlaintext
	if e.Kind != event.Data && e.Kind != event.Gap {
		l.owners.fill(e, head, payload)
		if e.Kind == event.OtherStream && int(head.Reason) < len(streams) {
			e.Stream = streams[head.Reason]
		}
		e.Took, e.Failure = 0, event.OtherFailure
		switch {
		case e.Kind == event.Open:
			e.Took = int64(head.Took())
		case e.Kind == event.ConnectFailed && int(head.Reason) < len(failures):
			e.Failure, e.Data = failures[head.Reason], nil
		}
		e.Seq, e.ReplySeq, e.Awaited = head.Seq, head.Len, head.Flags&bpf.Awaited != 0
		e.Reach = l.reachOf(head)
		e.UserNamespace = head.Flags&bpf.UserNamespace != 0 && begins(e.Kind)
		e.Unplaced = e.Kind == event.Closed && head.Flags&bpf.Unplaced != 0
		e.Left, e.Cut, e.Unread = head.Flags&bpf.Left != 0, cutOf(head.Flags), 0
		if e.Kind == event.Closed {
			e.Unread = head.Reason // the two share a byte
		}
		if server {
			e.Seq, e.ReplySeq = head.Len, head.Seq
		}
		return true
	}
	e.Seq, e.Len = head.Seq, head.Len
	if l.arrivals != nil {
		e.Arrivals = l.arrivals.of(head)
	}
	e.Plaintext = plaintexts[head.Flags&(bpf.Plaintext|bpf.Whole)]
	e.Reason = 0
	if int(head.Reason) < len(reasons) { // nearly always 0
		e.Reason = reasons[head.Reason]
	}
	e.Direction = event.Request
	if sent := head.Kind == bpf.Sent || head.Kind == bpf.SentGap; sent == server {
		e.Direction = event.Reply
	}
	return true
}

// begins reports whether events of a kind say whose the address of the server is.
func begins(kind event.Kind) bool {
	return kind == event.Open || kind == event.Existing || kind == event.Opening || kind == event.ConnectFailed
}

// take takes an event that is not to be delivered.
func (l *Live) take(head *bpf.Event, payload []byte) {
	switch head.Kind {
	case bpf.TLSUser:
		if l.tls.attacher != nil && !l.ignore(head) {
			l.tls.attacher.Look(head.Seq, head.Len != 0)
		}
	case bpf.Arrivals:
		if l.arrivals != nil {
			l.arrivals.learn(head, payload)
		}
	case bpf.Cgroup:
		l.owners.learn(head.Cgroup(), payload)
	}
}

// cutOf returns how the other end's stream ended, by the flags of a PeerClosed event.
func cutOf(flags uint8) event.Cut {
	switch {
	case flags&bpf.Broken != 0:
		return event.Broken
	case flags&bpf.Reset != 0:
		return event.Reset
	default:
		return event.Finished
	}
}

// ignore reports whether an event belongs to a connection that matches by chance: the ephemeral
// port, which is the remote port of an accepted connection and the local port of an opened one, has
// the number of an observed port.
func (l *Live) ignore(head *bpf.Event) bool {
	if len(l.foreign) == 0 && head.Kind != bpf.Opened { // nearly always
		return false
	}
	if head.Kind == bpf.Failed { // this end connected, to the observed port
		return false
	}
	if head.LocalPort|head.RemotePort == 0 { // a Unix socket
		delete(l.foreign, head.Conn) // its place in memory was that of a TCP socket
		return false
	}
	if head.Kind == bpf.Opened && (head.Flags&bpf.Accepted != 0) != (head.Role == bpf.RoleServer) {
		l.foreign[head.Conn] = struct{}{}
		return true
	}
	_, found := l.foreign[head.Conn]
	if found && (head.Kind == bpf.Closed || head.Kind == bpf.Opened) {
		delete(l.foreign, head.Conn)
		return head.Kind == bpf.Closed
	}
	if found {
		switch head.Kind {
		case bpf.Sent, bpf.SentGap, bpf.Received, bpf.ReceivedGap:
			l.probes.Stop(head.Conn, head.Kind == bpf.Sent || head.Kind == bpf.SentGap, head.Time, head.Flags&bpf.Plaintext != 0)
		}
	}
	return found
}
