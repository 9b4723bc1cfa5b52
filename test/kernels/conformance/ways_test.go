package conformance

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// way is a pair of system calls.
type way struct {
	name        string
	write, read func(fd int, p []byte) (int, error)
	nonBlocking bool
}

var plain = way{name: "write and read", write: unix.Write, read: unix.Read}

// ways are how programs send and receive on sockets.
var ways = []way{
	plain,
	{name: "send and recv", write: send, read: receive},
	{name: "writev and readv", write: writeVector, read: readVector},
	{name: "sendmsg and recvmsg", write: sendMessage, read: receiveMessage},
	{name: "sendmmsg and recvmmsg", write: sendMessages, read: receiveMessages},
	{name: "peek before each read", write: unix.Write, read: peekAndRead},
	{name: "not blocking", write: unix.Write, read: unix.Read, nonBlocking: true},
}

// ringed receives into memory whose address is in no system call's registers, where the tracepoint backend looks.
var ringed = way{name: "io_uring", write: passThroughUring(uringSend), read: passThroughUring(uringReceive)}

func send(fd int, p []byte) (int, error) {
	return unix.SendmsgN(fd, p, nil, nil, 0)
}

func receive(fd int, p []byte) (int, error) {
	n, _, err := unix.Recvfrom(fd, p, 0)
	return n, err
}

func peekAndRead(fd int, p []byte) (int, error) {
	if n, _, err := unix.Recvfrom(fd, p, unix.MSG_PEEK); n <= 0 || err != nil {
		return n, err
	}
	return unix.Read(fd, p)
}

// maxSegments is the most that the kernel takes (UIO_MAXIOV).
const maxSegments = 1024

// segments cuts p into pieces of uneven size, an empty one among them.
func segments(p []byte, most int) [][]byte {
	pieces := [][]byte{p[:0]}
	for size := 1; len(p) > 0 && len(pieces) < most-1; size = size%31 + 1 {
		n := min(size, len(p))
		pieces = append(pieces, p[:n])
		p = p[n:]
	}
	return append(pieces, p)
}

func writeVector(fd int, p []byte) (int, error) { return unix.Writev(fd, segments(p, maxSegments)) }
func readVector(fd int, p []byte) (int, error)  { return unix.Readv(fd, segments(p, maxSegments)) }

func sendMessage(fd int, p []byte) (int, error) {
	return unix.SendmsgBuffers(fd, segments(p, maxSegments), nil, nil, 0)
}

func receiveMessage(fd int, p []byte) (int, error) {
	n, _, _, _, err := unix.RecvmsgBuffers(fd, segments(p, maxSegments), nil, 0)
	return n, err
}

// multipleMessage is struct mmsghdr.
type multipleMessage struct {
	header unix.Msghdr
	length uint32
}

// messagesPerCall is how many messages one sendmmsg or recvmmsg carries.
const messagesPerCall = 5

func multipleMessages(p []byte) []multipleMessage {
	var messages []multipleMessage
	for i := range messagesPerCall {
		part := p[len(p)*i/messagesPerCall : len(p)*(i+1)/messagesPerCall]
		var vector []unix.Iovec
		for _, piece := range segments(part, 16) {
			iovec := unix.Iovec{Base: unsafe.SliceData(piece)}
			iovec.SetLen(len(piece))
			vector = append(vector, iovec)
		}
		message := multipleMessage{header: unix.Msghdr{Iov: &vector[0]}}
		message.header.SetIovlen(len(vector))
		messages = append(messages, message)
	}
	return messages
}

func sendMessages(fd int, p []byte) (int, error) {
	return callMessages(unix.SYS_SENDMMSG, fd, p, 0)
}

// receiveMessages waits for the first message only, and gets a byte stream cut at the ends of the messages.
func receiveMessages(fd int, p []byte) (int, error) {
	if len(p) < messagesPerCall {
		return unix.Read(fd, p)
	}
	return callMessages(unix.SYS_RECVMMSG, fd, p, unix.MSG_WAITFORONE)
}

// callMessages returns how many bytes passed, if all messages but the last were filled; others leave holes, which are closed.
func callMessages(call uintptr, fd int, p []byte, flags uintptr) (int, error) {
	messages := multipleMessages(p)
	count, _, errno := unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), flags, 0, 0)
	runtime.KeepAlive(messages)
	if errno != 0 {
		return 0, errno
	}
	passed := 0
	for i := range int(count) {
		n := int(messages[i].length)
		if call == unix.SYS_RECVMMSG {
			copy(p[passed:], p[len(p)*i/messagesPerCall:][:n])
		}
		passed += n
		if call == unix.SYS_SENDMMSG && n < len(p)*(i+1)/messagesPerCall-len(p)*i/messagesPerCall {
			break // the next one has been sent behind it: this test sends no more than the socket takes
		}
	}
	return passed, nil
}
