package attach

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/library"
)

// attachment is a library that is attached.
type attachment struct {
	library Library
	name    string
	inode   uint64 // as processes have it in their maps
	file    *os.File
	id      identity
	code    code
	user    uint32            // of the process that it was attached for
	users   map[uint32]uint64 // when each process started that is known to use it
	held    io.Closer         // its probes, if they end with this process; nil if the observer has the link
}

// server is the attaching process.
type server struct {
	channel  channel
	attach   func(path string, points []bpf.Point, attachment uint16) (io.Closer, error)
	attached map[uint16]*attachment
	known    map[identity]verdict // of files; see mostKnown
	stuck    *stuck
}

// verdict is what is known of a file: its attachment, or why it has none.
type verdict struct {
	attachment uint16 // 0 for none
	result     Result // Covered for files without TLS
	library    Library
	detail     string
	bios       bool      // it has BIOs, which nobody has wanted yet
	until      time.Time // when it is forgotten; never if zero
}

// Bounds of the attaching process.
const (
	mostKnown     = 16384       // files that are remembered, a few hundred bytes each; then they are looked at again
	mostOfProcess = 16          // attached libraries of one process
	mostOfUser    = 1024        // attached libraries of the processes of one user
	failedPause   = time.Minute // until a file that could not be read or attached is tried again
	newTime       = 2 * time.Second
)

// How long a look or a search may take. Tests shorten it.
var lookDeadline = 5 * time.Second

func newServer(c channel, attach func(string, []bpf.Point, uint16) (io.Closer, error)) *server {
	return &server{
		channel: c, attach: attach, attached: map[uint16]*attachment{}, known: map[identity]verdict{},
		stuck: &stuck{on: map[any]struct{}{}},
	}
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
	until := time.Now().Add(lookDeadline)
	if q.PID != 0 {
		return s.look(target{q.PID, q.Option != 0}, q.Attachment, until)
	}
	for number := range s.attached {
		if r, _ := s.check(number, until); r != nil {
			return r, nil
		}
	}
	if q.Option == 0 {
		return new(reply), nil
	}
	return s.release(until), nil
}

// look attaches one library of a process that is not attached yet.
func (s *server) look(wanted target, number uint16, until time.Time) (*reply, link) {
	pid := wanted.pid
	list, err := within(s.stuck, pid, until, func() ([]mapping, error) { return mappings(pid) }, nil)
	start := started(pid)
	if start == 0 || len(list) == 0 {
		r := &reply{Result: Gone}
		switch {
		case errors.Is(err, fs.ErrPermission):
			r.Result = Forbidden
			r.setDetail(err.Error())
		case isLate(err):
			r.Result = Failed
			r.setDetail(err.Error())
		}
		return r, nil
	}
	best := verdict{result: Unreadable}
	for i := range list {
		v, r, l := s.lookAt(&list[i], wanted.bios, number, start, until)
		if r != nil {
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

func isLate(err error) bool {
	return errors.Is(err, errStuck) || errors.Is(err, errManyStuck) || errors.Is(err, os.ErrDeadlineExceeded)
}

// lookAt attaches a file of a process, or gives up an attachment of it that is outdated, which is
// the reply. If there is nothing to do, it returns the verdict on the file.
func (s *server) lookAt(m *mapping, bios bool, number uint16, start uint64, until time.Time) (verdict, *reply, link) {
	v, c := s.judge(m, bios, until)
	if c == nil {
		return v, nil, nil
	}
	for other, a := range s.attached {
		if a.id.inode != c.id.inode || a.id.device != c.id.device {
			continue
		}
		r, err := s.check(other, until)
		if r == nil && err == nil && a.id.device != 0 && a.id != c.id {
			err = errWritten
		}
		if r != nil || err != nil {
			c.file.Close()
			return verdict{result: Failed, library: c.library(), detail: fmt.Sprintf("%s: %v", m.path, err)}, r, nil
		}
	}
	if v, found := s.recall(c.id, bios); found { // only its times had changed
		c.file.Close()
		return v, nil, nil
	}
	user := userOf(m.pid)
	if s.full(m.pid, user) {
		c.file.Close()
		return verdict{result: Refused, library: c.library(), detail: m.path + ": the process or its user has too many libraries"}, nil, nil
	}
	r, l := s.probe(c, number, m, start, user, until)
	return verdict{}, r, l
}

// full reports whether no further library is attached for a process. Otherwise one could take the
// attachments of all.
func (s *server) full(pid, user uint32) bool {
	ofProcess, ofUser := 0, 0
	for _, a := range s.attached {
		if a.users[pid] != 0 {
			ofProcess++
		}
		if a.user == user {
			ofUser++
		}
	}
	return ofProcess >= mostOfProcess || ofUser >= mostOfUser
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

// candidate is a file that can be attached. The descriptor cannot read (O_PATH).
type candidate struct {
	file  *os.File
	id    identity
	found *library.Library
	code  code
}

func (c *candidate) library() Library { return kinds[c.found.Kind] }

// judge returns what is known of a file, or the file if it can be attached.
func (s *server) judge(m *mapping, bios bool, until time.Time) (verdict, *candidate) {
	on := place{m.device, m.inode}
	c, err := within(s.stuck, on, until, func() (*candidate, error) {
		file, err := m.open()
		if err != nil {
			return nil, err
		}
		id, err := identify(file)
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		return &candidate{file: file, id: id}, nil
	}, func(c *candidate) { c.file.Close() })
	switch {
	case err == nil:
	case errors.Is(err, errReplaced):
		return verdict{result: Replaced, detail: m.path}, nil
	case errors.Is(err, fs.ErrPermission):
		return verdict{result: Forbidden, detail: err.Error()}, nil
	case isLate(err):
		return verdict{result: Failed, detail: fmt.Sprintf("%s: %v", m.path, err)}, nil
	default: // its area is gone, and perhaps the process
		return verdict{result: Gone, detail: err.Error()}, nil
	}
	if v, found := s.recall(c.id, bios); found {
		c.file.Close()
		return v, nil
	}
	inspected, err := within(s.stuck, on, until, func() (*candidate, error) { return inspect(c.file, c.id) }, nil)
	var found *library.Library
	if err == nil {
		found = inspected.found
	}
	if errors.Is(err, fs.ErrPermission) {
		c.file.Close()
		return verdict{result: Forbidden, detail: err.Error()}, nil
	}
	v, ok := verdictOf(m, found, bios, err)
	if !ok {
		return verdict{}, inspected
	}
	c.file.Close()
	if !isLate(err) {
		s.remember(c.id, v)
	}
	return v, nil
}

var errWritten = errors.New("the file is being written")

// inspect inspects a file, if it stays as it is meanwhile.
func inspect(file *os.File, id identity) (*candidate, error) {
	readable, err := reopen(file)
	if err != nil {
		return nil, err
	}
	defer readable.Close()
	found, err := library.Inspect(readable)
	if err != nil {
		return nil, err
	}
	c := &candidate{file: file, id: id, found: found, code: codeAt(readable, pointsOf(found))}
	if now, err := identify(file); err != nil || now != id {
		return nil, errors.Join(errWritten, err)
	}
	return c, nil
}

// code is the code at the points of a library.
type code struct {
	points []bpf.Point
	sum    [sha256.Size]byte
}

// mostInstruction is the size of the longest instruction in bytes, rounded up.
const mostInstruction = 16

func codeAt(file io.ReaderAt, points []bpf.Point) code {
	hash := sha256.New()
	var instruction [mostInstruction]byte
	for _, p := range points {
		n, _ := file.ReadAt(instruction[:], int64(p.Offset)) // less at the end of the file
		hash.Write(append(instruction[:n:n], byte(n)))
	}
	return code{points, [sha256.Size]byte(hash.Sum(nil))}
}

// check gives an attachment up if its file was written: the probes would be in the middle of other
// instructions. If only its times have changed, as when it is renamed or deleted, it stays.
func (s *server) check(number uint16, until time.Time) (*reply, error) {
	a := s.attached[number]
	type state struct {
		id   identity
		same bool
	}
	now, err := within(s.stuck, a, until, func() (state, error) {
		id, err := identify(a.file)
		if err != nil || id == a.id && time.Since(time.Unix(0, id.changed)) > newTime {
			return state{id, true}, err
		}
		file, err := reopen(a.file)
		if err != nil {
			return state{}, err
		}
		defer file.Close()
		return state{id, codeAt(file, a.code.points).sum == a.code.sum}, nil
	}, nil)
	switch {
	case isLate(err):
		return nil, err
	case err != nil || !now.same:
		return s.giveUp(number), nil
	case now.id != a.id:
		v := s.known[a.id]
		delete(s.known, a.id)
		a.id = now.id
		s.remember(a.id, v)
	}
	return nil, nil //nolint:nilnil // there is nothing to reply
}

// verdictOf returns the verdict on a file without points that can be attached.
func verdictOf(m *mapping, found *library.Library, bios bool, err error) (verdict, bool) {
	var refusal *library.Refusal
	switch {
	case err == nil && found.Kind == library.Crypto && !bios:
		return verdict{result: Covered, bios: true}, true
	case err == nil && len(pointsOf(found)) > 0:
		return verdict{}, false
	case err == nil:
		return verdict{result: Unreadable, library: kinds[found.Kind], detail: m.path}, true
	case errors.As(err, &refusal) && refusal.Reason == library.NoTLS:
		if f := foreign(m.name()); f != Unknown {
			return verdict{result: Unreadable, library: f, detail: m.path}, true
		}
		return verdict{result: Covered}, true
	case errors.As(err, &refusal):
		return verdict{result: Refused, library: kindOf(m, refusal), detail: fmt.Sprintf("%s: %v", m.path, refusal)}, true
	default:
		return verdict{result: Failed, detail: fmt.Sprintf("%s: %v", m.path, err), until: time.Now().Add(failedPause)}, true
	}
}

var kinds = map[library.Kind]Library{library.OpenSSL: OpenSSL, library.Crypto: Libcrypto, library.Go: Go}

// kindOf returns the kind of a refused file: by the reason, else by its name.
func kindOf(m *mapping, r *library.Refusal) Library {
	switch r.Reason {
	case library.OldGo:
		return Go
	case library.Symbols, library.Code:
		return OpenSSL
	default:
		if strings.HasPrefix(m.name(), "libssl.so") {
			return OpenSSL
		}
		return foreign(m.name())
	}
}

// pointsOf returns the points at which a program can run.
func pointsOf(found *library.Library) []bpf.Point {
	var points []bpf.Point
	for _, p := range found.Points {
		if bpf.CanProbe(p.Function) {
			points = append(points, bpf.Point{
				Function: p.Function, End: p.End, Offset: p.Offset, Frame: p.Frame, Counters: bpf.BIOCounters(found.BIOs),
			})
		}
	}
	return points
}

// probe attaches a library, which takes the file over.
func (s *server) probe(c *candidate, number uint16, m *mapping, start uint64, user uint32, until time.Time) (*reply, link) {
	r := &reply{Attachment: number, Library: c.library()}
	probes, err := within(s.stuck, place{m.device, m.inode}, until, func() (io.Closer, error) {
		probes, err := s.attach("/proc/self/fd/"+strconv.Itoa(int(c.file.Fd())), c.code.points, number)
		if err != nil {
			c.file.Close()
		}
		return probes, err
	}, func(probes io.Closer) { probes.Close(); c.file.Close() })
	if err != nil {
		v := verdict{result: Failed, library: c.library(), detail: fmt.Sprintf("%s: %v", m.path, err), until: time.Now().Add(failedPause)}
		s.remember(c.id, v)
		r.Result = Failed
		r.setDetail(v.detail)
		return r, nil
	}
	a := &attachment{
		library: c.library(), name: m.name(), inode: m.inode, file: c.file, id: c.id, code: c.code,
		user: user, users: map[uint32]uint64{m.pid: start},
	}
	s.attached[number] = a
	s.remember(c.id, verdict{attachment: number, result: Covered, library: a.library})
	r.Result = Attached
	r.setDetail(m.path)
	if l, ok := probes.(link); ok {
		return r, l
	}
	r.Held, a.held = true, probes
	return r, nil
}

func (s *server) recall(id identity, bios bool) (verdict, bool) {
	v, found := s.known[id]
	return v, found && !(v.bios && bios) && (v.until.IsZero() || time.Now().Before(v.until))
}

func (s *server) remember(id identity, v verdict) {
	if len(s.known) >= mostKnown {
		maps.DeleteFunc(s.known, func(_ identity, v verdict) bool { return v.attachment == 0 })
	}
	// A path has up to 4 KiB, of which a reply carries less.
	v.detail = strings.Clone(v.detail[:min(len(v.detail), len(reply{}.Detail))])
	s.known[id] = v
}

// release gives up one library without users.
func (s *server) release(until time.Time) *reply {
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
	if !s.findUsers(idle, until) {
		return new(reply) // the next search may be faster
	}
	for _, number := range idle {
		a := s.attached[number]
		if len(a.users) > 0 {
			continue
		}
		return s.giveUp(number)
	}
	return new(reply)
}

// giveUp forgets an attachment.
func (s *server) giveUp(number uint16) *reply {
	a := s.attached[number]
	r := &reply{Result: Detached, Library: a.library, Attachment: number, Held: a.held != nil}
	r.setDetail(a.name)
	if a.held != nil {
		if err := a.held.Close(); err != nil {
			r.setDetail(fmt.Sprintf("%s: %v", a.name, err))
		}
	}
	a.file.Close()
	delete(s.attached, number)
	maps.DeleteFunc(s.known, func(_ identity, v verdict) bool { return v.attachment == number })
	return r
}

// findUsers looks for a process that has mapped each of the libraries: processes that were not
// looked at, because their library was attached already. A file of the same name and inode is taken
// for the same one, which at worst keeps a library attached.
// It returns false if there was not enough time.
func (s *server) findUsers(idle []uint16, until time.Time) bool {
	wanted := map[uint64]bool{}
	for _, number := range idle {
		wanted[s.attached[number].inode] = true
	}
	for _, pid := range processes() {
		mapped, err := within(s.stuck, pid, until, func() (map[uint64][]string, error) {
			files := map[uint64][]string{}
			err := eachMapping(pid, func(m mapping) {
				if wanted[m.inode] && !slices.Contains(files[m.inode], m.name()) {
					files[m.inode] = append(files[m.inode], m.name())
				}
			})
			return files, err
		}, nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		if err != nil {
			continue // it has ended
		}
		for _, number := range idle {
			a := s.attached[number]
			if len(a.users) == 0 && slices.Contains(mapped[a.inode], a.name) {
				if start := started(pid); start != 0 {
					a.users[pid] = start
				}
			}
		}
	}
	return true
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
