package sockets

// Socket is a TCP socket with a connection.
type Socket struct {
	Local, Remote         [16]byte // IPv4 addresses in their IPv4-mapped IPv6 form
	LocalPort, RemotePort uint16
	Accepted              bool // somebody listens on the local port: it is the end that did not connect
	Established           bool // neither end has closed it
	// Whose payload was the last that passed, if that can be told: the kernel notes it in ticks of up to 10 ms.
	SentLast, ReceivedLast bool
}
