package capture

import "github.com/redis-observer/redis-observer/bpf"

var kinds = [...]Kind{
	bpf.Sent:        Data,
	bpf.Received:    Data,
	bpf.SentGap:     Gap,
	bpf.ReceivedGap: Gap,
	bpf.Opened:      Open,
	bpf.Existing:    Existing,
	bpf.HalfClosed:  HalfClosed,
	bpf.PeerClosed:  PeerClosed,
	bpf.Closed:      Closed,
	bpf.Opening:     Opening,
	bpf.OtherStream: OtherStream,
}

var reasons = [...]Reason{
	bpf.GapTruncated:   Truncated,
	bpf.GapUnreadable:  Unreadable,
	bpf.GapNotInMemory: NotInMemory,
	bpf.GapCrowded:     Crowded,
	bpf.GapUrgent:      Urgent,
}

var streams = [...]Stream{
	bpf.StreamMPTCP:   MPTCP,
	bpf.StreamKTLS:    KTLS,
	bpf.StreamSockmap: Sockmap,
	bpf.StreamSMC:     SMC,
	bpf.StreamSCTP:    SCTP,
}

// translate makes an Event of what the probes wrote. It returns false for what is not to be delivered.
func (l *Live) translate(event *Event, head *bpf.Event, payload []byte) bool {
	if int(head.Kind) >= len(kinds) || kinds[head.Kind] == 0 || l.ignore(head) {
		return false
	}
	l.events++
	l.bytes += uint64(len(payload))
	server := head.Role == bpf.RoleServer
	event.Kind = kinds[head.Kind]
	event.Conn = head.Conn
	event.Time = int64(head.Time)
	event.Endpoints.Local, event.Endpoints.LocalPort = head.Local, head.LocalPort
	event.Endpoints.Remote, event.Endpoints.RemotePort = head.Remote, head.RemotePort
	event.Role = Client
	if server {
		event.Role = Server
	}
	event.Data = payload
	event.Reach = l.reach
	if event.Kind != Data && event.Kind != Gap {
		if event.Kind == OtherStream && int(head.Reason) < len(streams) {
			event.Stream = streams[head.Reason]
		}
		event.Seq, event.ReplySeq, event.Awaited = head.Seq, head.Len, head.Flags&bpf.Awaited != 0
		event.Reach = l.reachOf(head)
		event.Left, event.Cut, event.Unread = head.Flags&bpf.Left != 0, cutOf(head.Flags), 0
		if event.Kind == Closed {
			event.Unread = head.Reason // the two share a byte
		}
		if server {
			event.Seq, event.ReplySeq = head.Len, head.Seq
		}
		return true
	}
	event.Seq, event.Len = head.Seq, head.Len
	event.Reason = 0
	if int(head.Reason) < len(reasons) { // 0 for nearly all payload
		event.Reason = reasons[head.Reason]
	}
	event.Direction = Request
	if sent := head.Kind == bpf.Sent || head.Kind == bpf.SentGap; sent == server {
		event.Direction = Reply
	}
	return true
}

// cutOf tells from the flags of a PeerClosed event how the other end's stream ended.
func cutOf(flags uint8) Cut {
	switch {
	case flags&bpf.Broken != 0:
		return Broken
	case flags&bpf.Reset != 0:
		return Reset
	default:
		return Finished
	}
}

// ignore knows the connections that match by accident: one that this end accepted has as its remote port, and one that this
// end opened has as its local port, an ephemeral one, which may be the number of an observed port.
func (l *Live) ignore(head *bpf.Event) bool {
	if head.Kind == bpf.Opened && (head.Flags&bpf.Accepted != 0) != (head.Role == bpf.RoleServer) {
		l.foreign[head.Conn] = struct{}{}
		return true
	}
	if len(l.foreign) == 0 {
		return false
	}
	_, found := l.foreign[head.Conn]
	if found && (head.Kind == bpf.Closed || head.Kind == bpf.Opened) {
		delete(l.foreign, head.Conn)
		return head.Kind == bpf.Closed
	}
	if found {
		switch head.Kind {
		case bpf.Sent, bpf.SentGap, bpf.Received, bpf.ReceivedGap:
			l.probes.Stop(head.Conn, head.Kind == bpf.Sent || head.Kind == bpf.SentGap, head.Time)
		}
	}
	return found
}
