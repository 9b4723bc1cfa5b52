package attach

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/privilege"
)

// Probes are the probes of the observer, as *bpf.Probes has them.
type Probes interface {
	PointProgram() (*bpf.PointProgram, error)
	BeginLibrary() (attachment uint16, err error)
	LibraryAttached(attachment uint16) error
	EndLibrary(attachment uint16) error
}

// Limits of the looks at processes.
const (
	mostWaiting  = 256              // processes that wait for a look
	lookPause    = 10 * time.Second // between two looks at one process
	burst        = 50               // looks at once
	refill       = 50 * time.Millisecond
	releasePause = 30 * time.Second // between two searches for libraries without users
	mostRecent   = 4096             // processes that are remembered
	checkPause   = time.Second      // between two searches for attached files that were written
	mostRounds   = 64               // requests of one look
)

// askDeadline is how long a reply may take. It is much longer than the deadlines of the attaching
// process, which ends a look by itself. Tests shorten it.
var askDeadline = 30 * time.Second

// Stats are the counters of an Attacher.
type Stats struct {
	Running    bool               // the attaching process runs: further libraries can be attached
	Libraries  map[Library]int    // attached now
	Looks      map[Outcome]uint64 // looks at processes
	PassedOver uint64             // processes that were not looked at because there were too many
}

// Outcome is what became of a look at a process.
type Outcome struct {
	Library Library
	Result  Result
}

// Attacher is the observer's end.
type Attacher struct {
	probes    Probes
	log       *slog.Logger
	channel   channel
	waiting   chan target
	releasing <-chan time.Time // when to look for libraries without users
	closed    chan struct{}
	done      chan struct{}
	recent    map[target]time.Time // when processes were looked at; for the goroutine of run
	links     map[uint16]*held

	lock  sync.Mutex
	stats Stats
}

// target is what a look is for.
type target struct {
	pid  uint32
	bios bool // also the library of BIOs
}

// held is an attached library.
type held struct {
	library Library
	link    *os.File // nil if the attaching process holds it
}

// Command is the hidden command of the program that becomes the attaching process.
const Command = "attach-libraries"

// Descriptors of the attaching process.
const (
	channelDescriptor = 3
	programDescriptor = 4
)

// Start starts the attaching process, which needs the privileges of this one. The caller must Close
// the Attacher.
func Start(probes Probes, logger *slog.Logger) (*Attacher, error) {
	if err := Limit(); err != nil {
		return nil, err
	}
	program, err := probes.PointProgram()
	if err != nil {
		return nil, err
	}
	defer program.Close()
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	// The descriptor belongs to program; a copy is made for the file, which closes its own.
	descriptor, err := unix.FcntlInt(uintptr(program.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pass program on: %w", err), ours.Close())
	}
	passed := os.NewFile(uintptr(descriptor), "program")
	defer passed.Close()
	process := exec.Command("/proc/self/exe", Command)
	process.Args[0] = os.Args[0]
	process.ExtraFiles = []*os.File{theirs, passed} // channelDescriptor, programDescriptor
	process.Env = []string{"GOMAXPROCS=1", "GOMEMLIMIT=" + strconv.Itoa(memoryLimit)}
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start attaching process: %w", err), ours.Close())
	}
	go process.Wait() //nolint:errcheck // it ends with the observer, and its end shows on the channel
	c, err := newChannel(ours)
	if err != nil {
		return nil, err
	}
	return newAttacher(probes, logger, c, time.Tick(releasePause)), nil
}

// memoryLimit is Go's limit of the attaching process in bytes.
const memoryLimit = 24 << 20

// pair returns two connected sockets.
func pair() (ours, theirs *os.File, err error) {
	sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("connect attaching process: %w", err)
	}
	return os.NewFile(uintptr(sockets[0]), "attaching process"), os.NewFile(uintptr(sockets[1]), "observer"), nil
}

func newAttacher(probes Probes, logger *slog.Logger, c channel, releasing <-chan time.Time) *Attacher {
	a := &Attacher{
		probes: probes, log: logger, channel: c,
		waiting: make(chan target, mostWaiting), releasing: releasing, closed: make(chan struct{}), done: make(chan struct{}),
		recent: map[target]time.Time{}, links: map[uint16]*held{},
		stats: Stats{Running: true, Libraries: map[Library]int{}, Looks: map[Outcome]uint64{}},
	}
	go a.run()
	return a
}

// Look asks for a look at a process. With bios, the library of its BIOs is attached too, which costs
// a little in every process that uses it. Look does not block.
func (a *Attacher) Look(pid uint32, bios bool) {
	select {
	case a.waiting <- target{pid, bios}:
	default:
		a.passOver()
	}
}

func (a *Attacher) passOver() {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.stats.PassedOver++
}

// Stats returns a copy of the counters. Any goroutine may call it.
func (a *Attacher) Stats() Stats {
	a.lock.Lock()
	defer a.lock.Unlock()
	s := a.stats
	s.Libraries, s.Looks = maps.Clone(s.Libraries), maps.Clone(s.Looks)
	return s
}

// Close ends the attaching process and detaches all libraries.
func (a *Attacher) Close() error {
	close(a.closed)
	err := a.channel.Close()
	<-a.done
	if errors.Is(err, net.ErrClosed) { // given up before
		return nil
	}
	return err
}

// run passes requests on, at a bounded rate, until the channel breaks.
func (a *Attacher) run() {
	defer close(a.done)
	checking := time.NewTicker(checkPause)
	defer checking.Stop()
	tokens, last := float64(burst), time.Now()
	var err error
	for err == nil {
		select {
		case <-a.closed:
			a.giveUp(nil)
			return
		case <-a.releasing:
			err = a.release(true)
		case <-checking.C:
			if len(a.links) > 0 {
				err = a.release(false)
			}
		case wanted := <-a.waiting:
			now := time.Now()
			tokens, last = min(burst, tokens+float64(now.Sub(last))/float64(refill)), now
			switch {
			case now.Sub(a.recent[wanted]) < lookPause:
			case tokens < 1:
				a.passOver()
			default:
				tokens--
				if len(a.recent) >= mostRecent {
					clear(a.recent)
				}
				a.recent[wanted] = now
				err = a.look(wanted)
			}
		}
	}
	a.giveUp(err)
	for { // nothing can be attached any more
		select {
		case <-a.closed:
			a.detachAll()
			return
		case <-a.waiting:
			a.passOver()
		}
	}
}

// look attaches all libraries of a process. An error is that of the channel.
func (a *Attacher) look(wanted target) error {
	pid, attached := wanted.pid, false
	for range mostRounds {
		number, err := a.probes.BeginLibrary()
		if err != nil {
			a.log.Warn("cannot attach to a further TLS library", "error", err)
			a.count(Outcome{Result: Failed})
			return nil
		}
		r, link, err := a.ask(&request{PID: pid, Attachment: number, Option: option(wanted.bios)})
		if err != nil {
			return errors.Join(err, a.probes.EndLibrary(number))
		}
		if r.Result != Attached {
			if err := a.probes.EndLibrary(number); err != nil {
				a.log.Warn("cannot give back an attachment", "error", err)
			}
			if r.Result == Detached { // a file was written meanwhile
				a.detached(r)
				continue
			}
			if attached && r.Result == Gone {
				r.Result = Covered // it ended meanwhile
			}
			a.count(Outcome{r.Library, r.Result})
			if r.Result != Covered {
				a.log.Debug("a process uses TLS that cannot be observed", "pid", pid, "library", r.Library, "result", r.Result, "detail", r.detail())
			}
			return nil
		}
		attached = true
		a.links[number] = &held{library: r.Library, link: link}
		a.setLibraries(r.Library, 1)
		if err := a.probes.LibraryAttached(number); err != nil {
			a.log.Warn("a TLS library is attached, but its new connections are taken for old ones", "error", err)
		}
		a.log.Info("TLS library attached", "library", r.Library, "path", r.detail(), "pid", pid)
	}
	a.count(Outcome{Result: Failed}) // its files do not stay as they are
	return nil
}

// release detaches libraries whose files were written, and if idle is set, also those without users.
func (a *Attacher) release(idle bool) error {
	q := &request{Option: option(idle)}
	for {
		r, _, err := a.ask(q)
		if err != nil || r.Result != Detached {
			return err
		}
		a.detached(r)
	}
}

// detached detaches a library that the attaching process gave up.
func (a *Attacher) detached(r *reply) {
	if h := a.links[r.Attachment]; h != nil {
		a.detach(r.Attachment, h)
		a.log.Info("TLS library detached, as no process uses it or its file was written", "library", r.Library, "file", r.detail())
	}
}

func option(on bool) uint16 {
	if on {
		return 1
	}
	return 0
}

// ask sends a request and waits for the reply.
func (a *Attacher) ask(q *request) (*reply, *os.File, error) {
	if err := a.channel.SetDeadline(time.Now().Add(askDeadline)); err != nil {
		return nil, nil, fmt.Errorf("set deadline: %w", err)
	}
	if err := a.channel.send(q, -1); err != nil {
		return nil, nil, err
	}
	r := new(reply)
	link, err := a.channel.receive(r, replySize)
	if err == nil && (r.Result == Attached && r.Attachment != q.Attachment || (link != nil) != (r.Result == Attached && !r.Held)) {
		err = errMessage
	}
	if err != nil && link != nil {
		link.Close()
	}
	return r, link, err
}

// giveUp notes that nothing can be attached any more: the attaching process has ended.
func (a *Attacher) giveUp(err error) {
	defer func() {
		a.lock.Lock()
		defer a.lock.Unlock()
		a.stats.Running = false
	}()
	if err == nil {
		a.detachAll()
		return
	}
	switch {
	case errors.Is(err, io.EOF):
		err = errors.New("it has ended")
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("the attaching process did not answer within %s", askDeadline)
	}
	a.channel.Close() // a late reply, with its probes, ends with it, and so does the process
	a.log.Error("no further TLS library can be attached until the observer restarts", "cause", err)
	for number, h := range a.links {
		if h.link == nil { // its probes ended with the process
			a.detach(number, h)
		}
	}
}

func (a *Attacher) detachAll() {
	for number, h := range a.links {
		a.detach(number, h)
	}
}

func (a *Attacher) detach(number uint16, h *held) {
	delete(a.links, number)
	a.setLibraries(h.library, -1)
	if h.link != nil {
		if err := h.link.Close(); err != nil {
			a.log.Warn("cannot detach a TLS library", "error", err)
		}
	}
	if err := a.probes.EndLibrary(number); err != nil && !errors.Is(err, os.ErrClosed) {
		a.log.Warn("cannot give back an attachment", "error", err)
	}
}

func (a *Attacher) count(o Outcome) {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.stats.Looks[o]++
}

func (a *Attacher) setLibraries(l Library, change int) {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.stats.Libraries[l] += change
}

// Serve is the attaching process. It returns when the observer ends.
func Serve(logger *slog.Logger) error {
	program, err := bpf.OpenPointProgram(programDescriptor)
	if err != nil {
		return err
	}
	defer program.Close()
	c, err := newChannel(os.NewFile(channelDescriptor, "observer"))
	if err != nil {
		return err
	}
	defer c.Close()
	confine(logger)
	stop, err := c.whenClosed(func() { os.Exit(0) })
	if err != nil {
		return err
	}
	defer stop()
	return newServer(c, func(path string, points []bpf.Point, attachment uint16) (io.Closer, error) {
		return bpf.AttachPoints(program, path, points, attachment)
	}).serve()
}

// confine drops what attaching does not need. It also works if that fails, so errors are only
// logged.
func confine(logger *slog.Logger) {
	held, err := privilege.Held()
	if err == nil {
		_, err = privilege.Drop(kept(held))
	}
	if err != nil {
		logger.Warn("the attaching process keeps its privileges", "error", err)
		return
	}
	// Without links for all points of a library at once, it needs calls that the filter refuses.
	if !bpf.AttachesTogether() {
		return
	}
	if err := privilege.Filter(false); err != nil {
		logger.Warn("the attaching process cannot filter system calls; all stay allowed", "reason", err)
	}
}

// needed are the capabilities for eBPF programs and for the files of other processes.
var needed = privilege.Of(unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_PTRACE)

// kept returns the capabilities that the attaching process keeps of those that it has. With
// CAP_CHECKPOINT_RESTORE it also reads files that were replaced while they are in use.
func kept(held privilege.Set) privilege.Set {
	keep := needed | privilege.Of(unix.CAP_CHECKPOINT_RESTORE)
	if !bpf.AttachesTogether() || missing(held, needed) != 0 {
		keep |= privilege.Of(unix.CAP_SYS_ADMIN)
	}
	return keep
}

func missing(held, wanted privilege.Set) privilege.Set { return wanted &^ held }

// Limit returns why this process cannot start an attaching process, and the remedy; nil if it can.
func Limit() error {
	held, err := privilege.Held()
	if err != nil {
		return err
	}
	wanted := needed
	switch admin := privilege.Of(unix.CAP_SYS_ADMIN); {
	case held&admin != 0: // it includes the others for programs
		wanted = privilege.Of(unix.CAP_SYS_PTRACE)
	case !bpf.AttachesTogether():
		wanted |= admin
	}
	if lacking := missing(held, wanted); lacking != 0 {
		return fmt.Errorf("attaching to TLS libraries needs %s (Kubernetes: securityContext.capabilities.add; Helm: tls: true; Docker: --cap-add; systemd: AmbientCapabilities)",
			strings.Join(lacking.Names(), ", "))
	}
	return checkNamespace()
}
