package sockets

// Socket is a connected TCP socket.
type Socket struct {
	Local, Remote         [16]byte // IPv4 addresses in their IPv4-mapped IPv6 form
	LocalPort, RemotePort uint16
	Accepted              bool // a socket listens on the local port, so this end accepted the connection
	Established           bool // neither end has closed it
	// Which end sent last, if known: the kernel stores the times in ticks of up to 10 ms.
	SentLast, ReceivedLast bool
}
