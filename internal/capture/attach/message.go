package attach

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A request asks to look at a process, or for a library to give up. There is exactly one reply
// to each request.
type request struct {
	PID        uint32 // 0: for a library to give up, because its file was written
	Attachment uint16 // for the library that is attached
	Option     uint16 // 1: with PID 0 also libraries without users; else also the library of BIOs
}

// reply is what became of a request. With Attached, the descriptor of the link follows, unless the
// attaching process holds it.
type reply struct {
	Result     Result
	Library    Library
	Held       bool   // by the attaching process
	_          uint8  // alignment
	Attachment uint16 // Attached: that of the request; Detached: which one
	Size       uint16 // of Detail
	Detail     [248]byte
}

// Result is what became of a look at a process.
type Result uint8

// The results.
const (
	Nothing    Result = iota // there is no library to give up
	Attached                 // a library was attached; the process may have others
	Detached                 // a library was given up
	Covered                  // all that can be attached is attached
	Gone                     // the process has ended
	Forbidden                // its files cannot be opened
	Replaced                 // a file was replaced since the process mapped it
	Refused                  // the code of the library is not as expected
	Unreadable               // its library cannot be observed, or it is unknown
	Failed                   // the kernel refused, or a file did not answer
	results
)

var resultNames = [results]string{
	Nothing: "nothing", Attached: "attached", Detached: "detached", Covered: "covered", Gone: "gone", Forbidden: "forbidden",
	Replaced: "replaced", Refused: "refused", Unreadable: "unreadable", Failed: "failed",
}

func (r Result) String() string { return name(resultNames[:], int(r)) }

// Library is the kind of a TLS library.
type Library uint8

// The libraries.
const (
	Unknown Library = iota
	OpenSSL
	Go
	GnuTLS
	NSS
	MbedTLS
	WolfSSL
	Rustls
	Java      // and the libraries that Java programs bring with them
	Libcrypto // OpenSSL's, which has the BIOs
	libraries
)

var libraryNames = [libraries]string{
	Unknown: "unknown", OpenSSL: "openssl", Go: "go", GnuTLS: "gnutls", NSS: "nss", MbedTLS: "mbedtls", WolfSSL: "wolfssl", Rustls: "rustls", Java: "java",
	Libcrypto: "libcrypto",
}

func (l Library) String() string { return name(libraryNames[:], int(l)) }

func name(names []string, n int) string {
	if n < len(names) {
		return names[n]
	}
	return "unknown"
}

func (r *reply) setDetail(text string) { r.Size = uint16(copy(r.Detail[:], text)) }

func (r *reply) detail() string { return string(r.Detail[:min(int(r.Size), len(r.Detail))]) }

var (
	requestSize = binary.Size(request{})
	replySize   = binary.Size(reply{})

	errMessage = errors.New("a message has another size")
)

// channel is one end of the connection between the two processes. It keeps the boundaries of
// messages.
type channel struct{ *net.UnixConn }

// newChannel makes a channel of a descriptor, which it takes over.
func newChannel(file *os.File) (channel, error) {
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return channel{}, fmt.Errorf("open channel: %w", err)
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return channel{}, fmt.Errorf("open channel: it is a %T", conn)
	}
	return channel{u}, nil
}

// send sends a message with at most one descriptor, -1 for none.
func (c channel) send(message any, descriptor int) error {
	data, err := binary.Append(nil, binary.LittleEndian, message)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	var rights []byte
	if descriptor >= 0 {
		rights = unix.UnixRights(descriptor)
	}
	if _, _, err := c.WriteMsgUnix(data, rights, nil); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// receive receives a message of a size, and its descriptor, nil without one. At the end it returns
// io.EOF.
func (c channel) receive(message any, size int) (*os.File, error) {
	data, rights := make([]byte, size+1), make([]byte, unix.CmsgSpace(4))
	n, r, flags, _, err := c.ReadMsgUnix(data, rights)
	if err != nil {
		return nil, fmt.Errorf("receive message: %w", err)
	}
	file, err := descriptorOf(rights[:r])
	switch {
	case err != nil:
		return nil, err
	case n == 0:
		return nil, io.EOF
	case n != size || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		err = errMessage
	default:
		err = binary.Read(bytes.NewReader(data[:n]), binary.LittleEndian, message)
	}
	if err != nil && file != nil {
		file.Close()
	}
	return file, err
}

func descriptorOf(rights []byte) (*os.File, error) {
	if len(rights) == 0 {
		return nil, nil //nolint:nilnil // none came
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, errMessage
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(descriptors) != 1 {
		return nil, errMessage
	}
	unix.CloseOnExec(descriptors[0])
	return os.NewFile(uintptr(descriptors[0]), "link"), nil
}

// whenClosed calls ended as soon as the other end is closed, also while this process works on a
// request. PR_SET_PDEATHSIG would not do: the observer becomes another user, which may not send
// signals to this process. The caller must call stop.
func (c channel) whenClosed(ended func()) (stop func(), err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("watch channel: %w", err)
	}
	descriptor := -1
	var failed error
	err = raw.Control(func(d uintptr) { descriptor, failed = unix.FcntlInt(d, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("watch channel: %w", err)
	}
	stopped := make(chan struct{})
	go func() {
		defer unix.Close(descriptor)
		for {
			poll := []unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLRDHUP}}
			if _, err := unix.Poll(poll, 1000); err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
			select {
			case <-stopped:
				return
			default:
			}
			if poll[0].Revents != 0 {
				ended()
				return
			}
		}
	}()
	return func() { close(stopped) }, nil
}
