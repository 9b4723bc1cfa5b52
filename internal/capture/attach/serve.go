package attach

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/library"
)

// attachment is a library that is attached.
type attachment struct {
	library Library
	name    string
	inode   uint64
	users   map[uint32]uint64 // when each process started that is known to use it
	held    io.Closer         // its probes, if they end with this process; nil if the observer has the link
}

// server is the attaching process.
type server struct {
	channel  channel
	attach   func(path string, points []bpf.Point, attachment uint16) (io.Closer, error)
	attached map[uint16]*attachment
	known    map[identity]verdict // of files; see mostKnown
}

// verdict is what is known of a file: its attachment, or why it has none.
type verdict struct {
	attachment uint16 // 0 for none
	result     Result // Covered for files without TLS
	library    Library
	detail     string
}

// mostKnown is how many files are remembered, a few hundred bytes each. Beyond it they are forgotten
// and looked at again.
const mostKnown = 16384

func newServer(c channel, attach func(string, []bpf.Point, uint16) (io.Closer, error)) *server {
	return &server{channel: c, attach: attach, attached: map[uint16]*attachment{}, known: map[identity]verdict{}}
}

// serve answers requests until the observer closes its end.
func (s *server) serve() error {
	for {
		var q request
		file, err := s.channel.receive(&q, requestSize)
		if file != nil {
			file.Close() // none is expected
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r, link := s.answer(&q)
		descriptor := -1
		if link != nil {
			descriptor = link.FD()
		}
		err = s.channel.send(r, descriptor)
		if link != nil {
			err = errors.Join(err, link.Close())
		}
		if err != nil {
			return err
		}
	}
}

// link is the link of all points of a library. It can be handed to another process.
type link interface {
	io.Closer
	FD() int
}

func (s *server) answer(q *request) (*reply, link) {
	if q.PID == 0 {
		return s.release(), nil
	}
	return s.look(q.PID, q.Attachment)
}

// look attaches one library of a process that is not attached yet.
func (s *server) look(pid uint32, number uint16) (*reply, link) {
	list, err := mappings(pid)
	start := started(pid)
	if start == 0 || len(list) == 0 {
		r := &reply{Result: Gone}
		if errors.Is(err, fs.ErrPermission) {
			r.Result = Forbidden
			r.setDetail(err.Error())
		}
		return r, nil
	}
	best := verdict{result: Unreadable}
	for i := range list {
		m := &list[i]
		v, file, id := s.judge(m)
		if file != nil {
			r, l := s.probe(file, id, number, m, start)
			file.Close()
			return r, l
		}
		if a := s.attached[v.attachment]; a != nil {
			a.users[pid] = start
		}
		best = better(best, v)
	}
	r := &reply{Result: best.result, Library: best.library}
	r.setDetail(best.detail)
	return r, nil
}

// better returns the verdict that says more about a process of which both files are parts.
func better(a, b verdict) verdict {
	order := func(v verdict) int {
		switch {
		case v.attachment != 0:
			return 3
		case v.result == Covered: // it has no TLS
			return 0
		case v.library == Unknown:
			return 1
		default:
			return 2
		}
	}
	if order(b) > order(a) {
		return b
	}
	return a
}

// judge returns what is known of a file, and if that is nothing yet, the open file.
func (s *server) judge(m *mapping) (verdict, *os.File, identity) {
	file, err := m.open()
	switch {
	case err == nil:
	case errors.Is(err, errReplaced):
		return verdict{result: Replaced, detail: m.path}, nil, identity{}
	case errors.Is(err, fs.ErrPermission):
		return verdict{result: Forbidden, detail: err.Error()}, nil, identity{}
	default: // its area is gone, and perhaps the process
		return verdict{result: Gone, detail: err.Error()}, nil, identity{}
	}
	id, err := identify(file)
	if err != nil {
		file.Close()
		return verdict{result: Failed, detail: err.Error()}, nil, identity{}
	}
	if v, found := s.known[id]; found {
		file.Close()
		return v, nil, id
	}
	found, err := library.Inspect(file)
	v, ok := verdictOf(m, found, err)
	if !ok {
		return verdict{}, file, id
	}
	file.Close()
	s.remember(id, v)
	return v, nil, id
}

// verdictOf returns the verdict on a file without points that can be attached.
func verdictOf(m *mapping, found *library.Library, err error) (verdict, bool) {
	var refusal *library.Refusal
	switch {
	case err == nil && len(pointsOf(found)) > 0:
		return verdict{}, false
	case err == nil && found.Kind == library.Crypto:
		return verdict{result: Covered}, true
	case err == nil:
		return verdict{result: Unreadable, library: kinds[found.Kind], detail: m.path}, true
	case errors.As(err, &refusal) && refusal.Reason == library.NoTLS:
		if f := foreign(m.name()); f != Unknown {
			return verdict{result: Unreadable, library: f, detail: m.path}, true
		}
		return verdict{result: Covered}, true
	case errors.As(err, &refusal):
		return verdict{result: Refused, library: kindOf(refusal), detail: fmt.Sprintf("%s: %v", m.path, refusal)}, true
	default:
		return verdict{result: Failed, detail: fmt.Sprintf("%s: %v", m.path, err)}, true
	}
}

var kinds = map[library.Kind]Library{library.OpenSSL: OpenSSL, library.Go: Go}

// kindOf returns the kind of a refused file.
func kindOf(r *library.Refusal) Library {
	switch r.Reason {
	case library.OldGo:
		return Go
	case library.Symbols, library.Code:
		return OpenSSL
	default:
		return Unknown
	}
}

// pointsOf returns the points at which a program can run.
func pointsOf(found *library.Library) []bpf.Point {
	var points []bpf.Point
	for _, p := range found.Points {
		if bpf.CanProbe(p.Function) {
			points = append(points, bpf.Point{Function: p.Function, End: p.End, Offset: p.Offset, Frame: p.Frame})
		}
	}
	return points
}

// probe attaches a library.
func (s *server) probe(file *os.File, id identity, number uint16, m *mapping, start uint64) (*reply, link) {
	r := &reply{Attachment: number}
	found, err := library.Inspect(file)
	if err == nil {
		var probes io.Closer
		probes, err = s.attach("/proc/self/fd/"+strconv.Itoa(int(file.Fd())), pointsOf(found), number)
		if err == nil {
			a := &attachment{library: kinds[found.Kind], name: m.name(), inode: m.inode, users: map[uint32]uint64{m.pid: start}}
			s.attached[number] = a
			s.remember(id, verdict{attachment: number, result: Covered, library: a.library})
			r.Result, r.Library = Attached, a.library
			r.setDetail(m.path)
			if l, ok := probes.(link); ok {
				return r, l
			}
			r.Held, a.held = true, probes
			return r, nil
		}
	}
	v := verdict{result: Failed, library: OpenSSL, detail: fmt.Sprintf("%s: %v", m.path, err)}
	s.remember(id, v)
	r.Result, r.Library = v.result, v.library
	r.setDetail(v.detail)
	return r, nil
}

func (s *server) remember(id identity, v verdict) {
	if len(s.known) >= mostKnown {
		maps.DeleteFunc(s.known, func(_ identity, v verdict) bool { return v.attachment == 0 })
	}
	s.known[id] = v
}

// release gives up one library without users.
func (s *server) release() *reply {
	var idle []uint16
	for number, a := range s.attached {
		maps.DeleteFunc(a.users, func(pid uint32, start uint64) bool { return started(pid) != start })
		if len(a.users) == 0 {
			idle = append(idle, number)
		}
	}
	if len(idle) == 0 {
		return new(reply)
	}
	s.findUsers(idle)
	for _, number := range idle {
		a := s.attached[number]
		if len(a.users) > 0 {
			continue
		}
		r := &reply{Result: Detached, Library: a.library, Attachment: number, Held: a.held != nil}
		r.setDetail(a.name)
		if a.held != nil {
			if err := a.held.Close(); err != nil {
				r.setDetail(fmt.Sprintf("%s: %v", a.name, err))
			}
		}
		delete(s.attached, number)
		maps.DeleteFunc(s.known, func(_ identity, v verdict) bool { return v.attachment == number })
		return r
	}
	return new(reply)
}

// findUsers looks for a process that has mapped each of the libraries: processes that were not
// looked at, because their library was attached already. A file of the same name and inode is taken
// for the same one, which at worst keeps a library attached.
func (s *server) findUsers(idle []uint16) {
	for _, pid := range processes() {
		list, err := mappings(pid)
		if err != nil {
			continue // it has ended
		}
		for _, number := range idle {
			a := s.attached[number]
			if len(a.users) == 0 && slices.ContainsFunc(list, func(m mapping) bool { return m.inode == a.inode && m.name() == a.name }) {
				if start := started(pid); start != 0 {
					a.users[pid] = start
				}
			}
		}
	}
}

// processes returns the numbers of all processes.
func processes() []uint32 {
	directory, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer directory.Close()
	names, _ := directory.Readdirnames(-1) // those that were read
	var list []uint32
	for _, name := range names {
		if pid, err := strconv.ParseUint(name, 10, 32); err == nil {
			list = append(list, uint32(pid))
		}
	}
	return list
}

// initialNamespace is the inode of the first namespace of processes (PROC_PID_INIT_INO).
const initialNamespace = 0xeffffffc

var errNamespace = errors.New("the observer is not in the host's namespace of processes, so it cannot find the libraries of others " +
	"(Kubernetes: hostPID: true; Docker: --pid=host)")

// checkNamespace returns nil if /proc has the processes under the numbers that the kernel reports.
func checkNamespace() error {
	var status unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &status); err != nil {
		return fmt.Errorf("read namespace of processes: %w", err)
	}
	if status.Ino != initialNamespace {
		return errNamespace
	}
	return nil
}
