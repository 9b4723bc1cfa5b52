package event

import (
	"encoding/binary"
	"net/netip"
)

// Source yields the socket events of the observed connections.
// A Source is read by one goroutine; Stats and Close may be called from any.
type Source interface {
	// Read fills the caller's event. event.Data belongs to the source and is valid until the next
	// Read. It returns os.ErrClosed after Close, once all captured events have been read, and
	// io.EOF at the end of a replay.
	Read(event *Event) error
	// Stats returns the counters of the source.
	Stats() Stats
	// Close detaches and unblocks Read.
	Close() error
}

// Gate is a Source that can leave out unwanted payload. The methods are for the goroutine that
// calls Read.
type Gate interface {
	// TurnAway asks the source to leave out the payload of one direction of a connection from now
	// on; of a TLS connection the plaintext or the ciphertext. Call it for each unwanted Data or Gap
	// event, with its time: the source may go on for a while, and may begin again later.
	TurnAway(conn uint64, role Role, direction Direction, time int64, plaintext Plaintext)
	// Readmit undoes TurnAway for a connection, ReadmitAll for all.
	Readmit(conn uint64)
	ReadmitAll()
}

// Stats are the counters of a source since it was opened.
type Stats struct {
	Events uint64            // events delivered
	Bytes  uint64            // payload bytes delivered
	Lost   map[string]uint64 // events lost between the kernel and the source, by reason
	TLS    *TLSStats         // nil if TLS libraries are not looked for
}

// TLSStats are the counters of the search for TLS libraries.
type TLSStats struct {
	Searching  bool               // further libraries can be attached
	Libraries  map[string]int     // libraries that are attached, by kind
	Looks      map[TLSLook]uint64 // looks at processes with a TLS connection whose library was not attached
	PassedOver uint64             // processes that were not looked at, because there were too many
}

// TLSLook is what became of a look at a process.
type TLSLook struct {
	Library string // kind of the library that decided the result
	Result  string
}

// Kind is the kind of an Event.
type Kind uint8

// The kinds of events. Data and Gap concern one direction, the others the connection; Tick and
// Listed concern none.
const (
	Data          Kind = iota + 1 // Data holds payload that begins at Seq
	Gap                           // Len bytes from Seq on passed, and were not captured for Reason
	Open                          // the connection was established just now; both streams begin at Seq and ReplySeq
	Existing                      // the connection was established before the source looked; the next bytes are at Seq and ReplySeq, unless Unplaced
	HalfClosed                    // the observed end sent its FIN; it may still read unless Left is set
	PeerClosed                    // the other end closed or reset; its stream ends at Seq (role server) or ReplySeq (role client)
	Closed                        // the socket is gone; nothing follows
	Vanished                      // the connection is no more, and its end was not seen; nothing follows
	Tick                          // time has passed; Time is set and nothing else
	Opening                       // not established yet, but its streams have begun (TCP Fast Open): at Seq, and for a server at ReplySeq
	OtherStream                   // nothing of it can be read, because of its Stream; reported repeatedly
	Owned                         // the first call on the connection shows its whole Owner
	Ending                        // an end of a TLS connection has said that it sends no more: the other one, or with Left this one
	ConnectFailed                 // the observed end tried to connect and failed, for the reason in Failure; no other event has its Conn
	Listed                        // all connections that existed at Time have been reported; one without an event since is gone
)

// Stream is the kind of a socket that a source cannot read.
type Stream uint8

// The streams of OtherStream events.
const (
	MPTCP   Stream = iota + 1 // on a kernel that does not show enough of it
	KTLS                      // encrypted by the kernel
	Sockmap                   // handed from socket to socket by BPF
	SMC
	SCTP
	Seqpacket // a Unix socket of messages
)

// Direction is the direction of a stream in terms of the Redis protocol, whichever end is observed.
type Direction uint8

// The two directions.
const (
	Request Direction = iota // client to server
	Reply                    // server to client
)

// Role is the end of the connection at which it is observed.
type Role uint8

// The two ends.
const (
	Client Role = iota // the end that connected
	Server             // the end that listens
)

// Reach says whether a listing reports a connection while it exists.
type Reach uint8

// The reaches.
const (
	Always    Reach = iota // it does
	WhileHeld              // only while a process holds the socket: not before it is accepted, nor when all that held it closed it
	Never                  // it may not: the socket is in another network namespace, and who holds it may be hidden
)

// Cut is how the other end's stream ended.
type Cut uint8

// The ways of a PeerClosed event.
const (
	Finished Cut = iota // by a FIN: all that it sent has come, or will
	Reset               // abruptly, both streams
	Broken              // abruptly, and by neither end: the other one was silent for too long, or an administrator destroyed the socket
)

// Reason is why bytes were not captured, or a remark on captured ones.
type Reason uint8

// The reasons of a Gap event. Urgent is that of a Data event, too, of one byte that was received
// with the others.
const (
	Truncated   Reason = iota + 1 // more bytes in one call than max_bytes_per_call
	Unreadable                    // the payload could not be read from user memory
	NotInMemory                   // the payload was not in user memory (sendfile, splice, io_uring fixed buffers)
	Snapped                       // a packet was longer than the snap length of its capture
	Crowded                       // the call carried too much for the room that was left between the kernel and the source
	Urgent                        // a byte of MSG_OOB: it has an offset, but is not part of the message
	Unseen                        // the plaintext of some TLS records, whose length is known instead of its own
	Repeated                      // bytes of a socket at offsets that had passed; not in events: the tracker finds them
)

// Failure is why an end failed to connect.
type Failure uint8

// The failures of ConnectFailed events.
const (
	OtherFailure Failure = iota
	Refused              // the answer to the SYN was a reset
	TimedOut             // the kernel gave up waiting for an answer
	Unreachable          // by an ICMP message, or because nobody has the address
	ConnectReset         // reset after the SYN of the other end: both had connected to each other
	GivenUp              // the program closed the socket before there was an answer
	NoPort               // this host has no local port left
	Failures             // how many there are
)

// Plaintext says whether the bytes of an event are the plaintext of a TLS connection.
type Plaintext uint8

// The kinds of bytes. The offsets of a plaintext are its own: both streams begin at 0, where the
// source begins to see it.
const (
	NotPlaintext      Plaintext = iota // the bytes are those of the connection
	PlaintextFromHere                  // plaintext may have passed before the source saw any
	WholePlaintext                     // the source sees all of it
)

// Event is one event of one connection.
type Event struct {
	Kind          Kind
	Direction     Direction
	Role          Role
	Reason        Reason
	Stream        Stream    // of OtherStream
	UserNamespace bool      // of Open, Existing, Opening and ConnectFailed: an unprivileged user may have chosen the address of the server, in a user namespace
	Awaited       bool      // of Existing: the client sent last, so that it awaits a reply
	Unplaced      bool      // of Existing: the offsets at which the streams go on are not known; of Closed: those at which they ended
	Reach         Reach     // exact in Open and Existing, as far as it is known; a lower bound in other events
	Left          bool      // of HalfClosed and PeerClosed: the program at the observed end has closed, and reads no more; of Ending: it is this end
	Cut           Cut       // of PeerClosed: how
	Untimed       bool      // of packets: the capture has no time for it, so Time measures no latency
	Unread        uint8     // of Closed: received bytes that the program did not read, 255 for so many or more; 0 where that is not known
	Plaintext     Plaintext // of Data and Gap
	// Seq is the offset of the first byte in its stream (Data, Gap), or the offset of the next byte
	// of the request stream (the others), modulo 2^32.
	Seq uint32
	// ReplySeq is the offset of the next byte of the reply stream. Not set for Data and Gap.
	ReplySeq uint32
	// Len is the number of bytes of a Gap.
	Len uint32
	// Conn identifies the connection while it lives; a later one may have the same.
	// Two connections of the same Conn with different Endpoints are two connections.
	Conn uint64
	// Time in nanoseconds of the source's clock: when a sending call began, or a receiving call
	// ended.
	Time      int64
	Endpoints Endpoints
	// Data is the payload. Owned by the source, valid until the next Read.
	Data []byte
	// Owner of Open, Existing, Owned and ConnectFailed is who has the connection, as far as it is
	// known; nil where the source does not look for it.
	Owner *Owner
	// Took of Open is how long it took the observed end to connect, in nanoseconds from its SYN to
	// the answer; 0 where that is not known, and at an end that accepted.
	Took    int64
	Failure Failure // of ConnectFailed
	// Arrivals of Data and Gap are when the bytes became readable in the socket, as far as it is
	// known; nil where the source does not look for it, and for bytes that the observed end sent.
	// Owned by the source, valid until the next Read.
	Arrivals *Arrivals
}

// Owner is who has a connection at the observed end. It does not change.
type Owner struct {
	// Cgroup is the names of the cgroup of the socket, and of those around it, as a path from the
	// root; the outermost may be missing. "/" is the root, "" is not known.
	Cgroup string
	// Executable is the base name of the program that made the first call on the connection; "" if
	// it is not known.
	Executable string
	Complete   bool // it is that of an Owned event: no more will be known
}

// Trait is what of an owner decides that its connections are left out.
type Trait uint8

// The traits.
const (
	NoTrait   Trait = iota // none: they are not left out
	Process                // the executable
	Unit                   // the unit of systemd
	Namespace              // the namespace of Kubernetes
	Traits                 // the number of traits
)

// String returns the name of the trait.
func (t Trait) String() string { return [...]string{"", "process", "unit", "namespace"}[t] }

// Endpoints are the two addresses of a connection as seen from the observed end.
// IPv4 addresses are in their IPv4-mapped IPv6 form.
//
// Of a connection over a Unix socket both ports are 0. The address of the server's end begins with
// the index of the configured path, in 4 bytes, and the other address distinguishes the connection
// from earlier ones of the same Conn.
type Endpoints struct {
	Local, Remote         [16]byte
	LocalPort, RemotePort uint16
}

// Equal reports whether both are the same. It compares word by word, as the fields were written; ==
// compares byte by byte, which is slow after that.
func (e *Endpoints) Equal(other *Endpoints) bool {
	return e.LocalPort == other.LocalPort && e.RemotePort == other.RemotePort && e.Local == other.Local && e.Remote == other.Remote
}

// Path returns the index of the configured path of a connection over a Unix socket; false for other
// connections.
func (e *Endpoints) Path(role Role) (uint32, bool) {
	if e.LocalPort|e.RemotePort != 0 {
		return 0, false
	}
	server := &e.Remote
	if role == Server {
		server = &e.Local
	}
	return binary.NativeEndian.Uint32(server[:]), true
}

// Path is the path of a Unix socket to observe.
type Path struct {
	Text  string // as the server binds it; an abstract name begins with @
	Index uint32 // by which Endpoints name it
	Role  Role   // the end to observe
}

// LocalAddrPort returns the local address, IPv4-mapped ones as IPv4.
func (e *Endpoints) LocalAddrPort() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(e.Local).Unmap(), e.LocalPort)
}

// RemoteAddrPort returns the remote address, IPv4-mapped ones as IPv4.
func (e *Endpoints) RemoteAddrPort() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(e.Remote).Unmap(), e.RemotePort)
}
