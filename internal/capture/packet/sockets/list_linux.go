package sockets

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// From <linux/inet_diag.h>, <linux/tcp.h> and <net/tcp_states.h>.
const (
	sizeRequest    = 56
	sizeMessage    = 72
	offsetPorts    = 4 // in the message, of the local port
	offsetAddress  = 8 // the same, of the local address
	sizeAddress    = 16
	attributeInfo  = 2 // INET_DIAG_INFO
	listen         = 1 << 10
	established    = 1 << 1
	opening        = 1 << 2                                          // SYN_SENT
	closed         = 1 << 6                                          // TIME_WAIT
	connected      = established | 1<<4 | 1<<5 | 1<<8 | 1<<9 | 1<<11 // FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING
	offsetSent     = 44                                              // in struct tcp_info: tcpi_last_data_sent, in milliseconds
	offsetReceived = 52                                              // the same: tcpi_last_data_recv
)

// List returns the connected sockets whose local or remote port is wanted.
func List(wanted func(port uint16) bool) ([]Socket, error) {
	connection, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, fmt.Errorf("list sockets: %w", err)
	}
	defer connection.Close()
	listening := make(map[uint16]bool)
	var found []Socket
	for _, request := range []struct {
		states uint32
		info   bool
		take   func(state byte, s Socket)
	}{
		{listen, false, func(_ byte, s Socket) { listening[s.LocalPort] = true }},
		{connected, true, func(state byte, s Socket) {
			if wanted(s.LocalPort) || wanted(s.RemotePort) {
				s.Established = state == 1
				found = append(found, s)
			}
		}},
	} {
		for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
			if err := dump(connection, family, request.states, request.info, request.take); err != nil {
				return nil, fmt.Errorf("list sockets: %w", err)
			}
		}
	}
	for i := range found {
		found[i].Accepted = listening[found[i].LocalPort]
	}
	return found, nil
}

// Remotes returns the sockets whose remote port is wanted, also of connections that are being opened
// and of those that ended within the last minute, as far as the kernel keeps them. It sets the
// addresses and ports only.
func Remotes(wanted func(port uint16) bool) ([]Socket, error) {
	connection, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, fmt.Errorf("list sockets: %w", err)
	}
	defer connection.Close()
	var found []Socket
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		err := dump(connection, family, connected|opening|closed, false, func(_ byte, s Socket) {
			if wanted(s.RemotePort) {
				found = append(found, s)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("list sockets: %w", err)
		}
	}
	return found, nil
}

// dump requests the sockets of a family in the given states.
func dump(connection *netlink.Conn, family byte, states uint32, info bool, take func(state byte, s Socket)) error {
	request := make([]byte, sizeRequest)
	request[0], request[1] = family, unix.IPPROTO_TCP
	if info {
		request[2] = 1 << (attributeInfo - 1)
	}
	binary.NativeEndian.PutUint32(request[4:], states)
	_, err := connection.Send(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump},
		Data:   request,
	})
	if err != nil {
		return err
	}
	for message, err := range connection.ReceiveIter() {
		switch {
		case errors.Is(err, unix.ENOENT) && family == unix.AF_INET6:
			return nil // a kernel without IPv6
		case err != nil:
			return err
		case len(message.Data) < sizeMessage:
			return fmt.Errorf("message of %d bytes", len(message.Data))
		}
		take(message.Data[1], parse(message.Data))
	}
	return nil
}

// parse reads a struct inet_diag_msg and what follows it.
func parse(message []byte) Socket {
	s := Socket{
		LocalPort:  binary.BigEndian.Uint16(message[offsetPorts:]),
		RemotePort: binary.BigEndian.Uint16(message[offsetPorts+2:]),
		Local:      address(message[0], message[offsetAddress:]),
		Remote:     address(message[0], message[offsetAddress+sizeAddress:]),
	}
	attributes, err := netlink.NewAttributeDecoder(message[sizeMessage:])
	if err != nil {
		return s // without the optional fields
	}
	for attributes.Next() {
		if info := attributes.Bytes(); attributes.Type() == attributeInfo && len(info) >= offsetReceived+4 {
			// Both are in milliseconds before now.
			sent, received := binary.NativeEndian.Uint32(info[offsetSent:]), binary.NativeEndian.Uint32(info[offsetReceived:])
			s.SentLast, s.ReceivedLast = sent < received, received < sent
		}
	}
	return s
}

func address(family byte, from []byte) (a [16]byte) {
	if family == unix.AF_INET6 {
		copy(a[:], from[:16])
		return a
	}
	a[10], a[11] = 0xff, 0xff
	copy(a[12:], from[:4])
	return a
}
