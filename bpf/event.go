package bpf

import "unsafe"

// Event is the head of an event as the probes write it (event.h).
type Event = observerEvent

// The kinds of events, documented in event.h.
const (
	Sent        = uint8(observerEventKindEVENT_SENT)
	Received    = uint8(observerEventKindEVENT_RECEIVED)
	SentGap     = uint8(observerEventKindEVENT_SENT_GAP)
	ReceivedGap = uint8(observerEventKindEVENT_RECEIVED_GAP)
	Opened      = uint8(observerEventKindEVENT_OPEN)
	Existing    = uint8(observerEventKindEVENT_EXISTING)
	HalfClosed  = uint8(observerEventKindEVENT_HALF_CLOSED)
	PeerClosed  = uint8(observerEventKindEVENT_PEER_CLOSED)
	Closed      = uint8(observerEventKindEVENT_CLOSED)
	Opening     = uint8(observerEventKindEVENT_OPENING)
	OtherStream = uint8(observerEventKindEVENT_OTHER_STREAM)
	TLSUser     = uint8(observerEventKindEVENT_TLS_USER)
	Owner       = uint8(observerEventKindEVENT_OWNER)
	Cgroup      = uint8(observerEventKindEVENT_CGROUP)
	Ending      = uint8(observerEventKindEVENT_ENDING)
	Failed      = uint8(observerEventKindEVENT_CONNECT_FAILED)
	Arrivals    = uint8(observerEventKindEVENT_ARRIVALS)
)

// RoleServer is the role of the end that listens.
const RoleServer = uint8(observerEventRoleROLE_SERVER)

// The reasons of gaps.
const (
	GapTruncated   = uint8(observerGapReasonGAP_TRUNCATED)
	GapUnreadable  = uint8(observerGapReasonGAP_UNREADABLE)
	GapNotInMemory = uint8(observerGapReasonGAP_NOT_IN_MEMORY)
	GapCrowded     = uint8(observerGapReasonGAP_CROWDED)
	GapUrgent      = uint8(observerGapReasonGAP_URGENT)
	GapUnseen      = uint8(observerGapReasonGAP_UNSEEN)
)

// The kinds of streams that cannot be read: the Reason of OtherStream.
const (
	StreamMPTCP     = uint8(observerStreamSTREAM_MPTCP)
	StreamKTLS      = uint8(observerStreamSTREAM_KTLS)
	StreamSockmap   = uint8(observerStreamSTREAM_SOCKMAP)
	StreamSMC       = uint8(observerStreamSTREAM_SMC)
	StreamSCTP      = uint8(observerStreamSTREAM_SCTP)
	StreamSeqpacket = uint8(observerStreamSTREAM_SEQPACKET)
)

// Why a socket failed to connect: the Reason of Failed.
const (
	ConnectOther       = uint8(observerConnectFailureCONNECT_OTHER)
	ConnectRefused     = uint8(observerConnectFailureCONNECT_REFUSED)
	ConnectTimedOut    = uint8(observerConnectFailureCONNECT_TIMED_OUT)
	ConnectUnreachable = uint8(observerConnectFailureCONNECT_UNREACHABLE)
	ConnectReset       = uint8(observerConnectFailureCONNECT_RESET)
	ConnectGivenUp     = uint8(observerConnectFailureCONNECT_GIVEN_UP)
	ConnectNoPort      = uint8(observerConnectFailureCONNECT_NO_PORT)
)

// Flags of events.
const (
	Accepted      = uint8(observerEventFlagFLAG_ACCEPTED)
	Unplaced      = uint8(observerEventFlagFLAG_UNPLACED)
	Awaited       = uint8(observerEventFlagFLAG_AWAITED)
	OwnNetwork    = uint8(observerEventFlagFLAG_OWN_NETWORK)
	UserNamespace = uint8(observerEventFlagFLAG_USER_NAMESPACE)
	Left          = uint8(observerEventFlagFLAG_LEFT)
	Reset         = uint8(observerEventFlagFLAG_RESET)
	Broken        = uint8(observerEventFlagFLAG_BROKEN)
	Plaintext     = uint8(observerEventFlagFLAG_PLAINTEXT)
	Whole         = uint8(observerEventFlagFLAG_WHOLE)
)

const (
	eventSize = int(unsafe.Sizeof(Event{}))
	wordSize  = 8
)

// CgroupLevels is the number of names in the payload of a Cgroup event, and CgroupName the length
// of each.
const (
	CgroupLevels = int(observerOwnerSizeCGROUP_LEVELS)
	CgroupName   = int(observerOwnerSizeCGROUP_NAME)
)

// Cgroup returns the first further word of an Opened, Existing, Owner, Failed or Cgroup event: the
// identity of a cgroup, 0 if it is not known. The event must be where Next returned it, not a copy.
func (e *Event) Cgroup() uint64 {
	if e.Flags&uint8(observerEventFlagFLAG_WORDS) == 0 {
		return 0
	}
	return *(*uint64)(unsafe.Add(unsafe.Pointer(e), eventSize))
}

// Took returns the second further word of an Opened event: how long it took to connect, in
// nanoseconds, 0 if that is not known. The event must be where Next returned it, not a copy.
func (e *Event) Took() uint64 {
	if payloadStart(e) < eventSize+2*wordSize {
		return 0
	}
	return *(*uint64)(unsafe.Add(unsafe.Pointer(e), eventSize+wordSize))
}

// Arrived returns the further word of a Received event: when all of its bytes became readable, in
// nanoseconds of CLOCK_MONOTONIC, 0 if that is not known or not so simple. The event must be where
// Next returned it, not a copy.
func (e *Event) Arrived() uint64 {
	if e.Kind != Received {
		return 0
	}
	return e.Cgroup() // they share a place
}

// Arrival is when bytes became readable: those from offset From on up to End, but those behind the
// start of a later one are of that one. Time is in nanoseconds of CLOCK_MONOTONIC.
type Arrival struct {
	From, End uint32
	Time      uint64
}

// ArrivalsOf appends the latest arrivals of a socket to a list, the oldest first: those in the
// payload of an Arrivals event.
func ArrivalsOf(payload []byte, list []Arrival) []Arrival {
	if len(payload) < int(unsafe.Sizeof(observerArrivalsCopy{})) {
		return list
	}
	c := (*observerArrivalsCopy)(unsafe.Pointer(&payload[0]))
	const places = uint64(len(c.Arrivals.Latest))
	oldest := uint64(0)
	if c.CountBehind >= places { // one place may be written anew, before it counts
		oldest = c.CountBehind - places + 1
	}
	for i := oldest; i < c.Arrivals.Count; i++ {
		a := &c.Arrivals.Latest[i%places]
		list = append(list, Arrival{From: a.From, End: a.End, Time: a.Time})
	}
	return list
}

// payloadStart returns the offset of an event's payload, in bytes from its head: behind its further
// words.
func payloadStart(event *Event) int {
	return eventSize + wordSize*int(event.Flags&uint8(observerEventFlagFLAG_WORDS)/uint8(observerEventFlagFLAG_WORD))
}

// decode splits a record into its head and its payload, both in the memory of the record. It skips
// the further words. ok is false if the record is too short.
func decode(record []byte) (event *Event, payload []byte, ok bool) {
	if len(record) < eventSize {
		return nil, nil, false
	}
	event = (*Event)(unsafe.Pointer(&record[0]))
	if event.Flags&uint8(observerEventFlagFLAG_WORDS) != 0 {
		further := payloadStart(event) - eventSize
		if len(record) < eventSize+further {
			return nil, nil, false
		}
		record = record[further:]
	}
	return event, record[eventSize:], true
}
