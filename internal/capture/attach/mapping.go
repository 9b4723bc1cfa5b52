package attach

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mapping is a file whose code a process has mapped.
type mapping struct {
	pid     uint32
	area    string // the addresses, as in /proc/PID/map_files
	device  string
	inode   uint64
	path    string // in the process's file system
	deleted bool
}

func (m *mapping) name() string { return path.Base(m.path) }

// mostMappings is how many files of one process are looked at, apart from its program: of those whose
// names say TLS, and of the others.
const mostMappings = 256

// mappings returns the files whose code a process has mapped, those that look like TLS first.
func mappings(pid uint32) ([]mapping, error) {
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		program = "" // it is kept if it is among the first
	}
	var c choice
	if err := eachMapping(pid, func(m mapping) { c.add(m, program) }); err != nil {
		return nil, err
	}
	return c.list(), nil
}

// eachMapping calls yield with all files whose code a process has mapped, once for each area.
func eachMapping(pid uint32, yield func(mapping)) error {
	file, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return err
	}
	defer file.Close()
	return parseMappings(pid, file, yield)
}

// mostLine is the size of the longest line in bytes: a path has 4,096, and a newline in it four.
const mostLine = 4*4096 + 128

func parseMappings(pid uint32, text io.Reader, yield func(mapping)) error {
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, mostLine)
	for lines.Scan() {
		// start-end perms offset device inode path
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || len(fields[1]) < 3 || fields[1][2] != 'x' || !strings.HasPrefix(fields[5], "/") {
			continue
		}
		inode, err := strconv.ParseUint(fields[4], 10, 64)
		if err != nil || inode == 0 {
			continue
		}
		_, name, _ := strings.Cut(lines.Text(), " /")
		name, deleted := strings.CutSuffix("/"+strings.ReplaceAll(name, `\012`, "\n"), " (deleted)")
		yield(mapping{pid: pid, area: fields[0], device: fields[3], inode: inode, path: name, deleted: deleted})
	}
	return lines.Err()
}

// place is a file as /proc/PID/maps has it.
type place struct {
	device string
	inode  uint64
}

// choice are the files of a process that are looked at.
type choice struct {
	ranks [3][]mapping
	seen  map[place]bool
}

func (c *choice) add(m mapping, program string) {
	r := rank(m.name())
	isProgram := m.path == strings.TrimSuffix(program, " (deleted)")
	if isProgram {
		r = min(r, 1)
	}
	where := place{m.device, m.inode}
	if c.seen[where] || len(c.ranks[r]) >= mostMappings && (!isProgram || len(c.ranks[r]) > mostMappings) {
		return
	}
	if c.seen == nil {
		c.seen = map[place]bool{}
	}
	c.seen[where] = true
	c.ranks[r] = append(c.ranks[r], m)
}

func (c *choice) list() []mapping { return slices.Concat(c.ranks[:]...) }

// rank orders files by how likely they have TLS: OpenSSL's library, then other known ones and the
// program, then the rest.
func rank(name string) int {
	switch {
	case strings.HasPrefix(name, "libssl"):
		return 0
	case foreign(name) != Unknown:
		return 1
	}
	return 2
}

var errReplaced = errors.New("the file was replaced since the process mapped it")

// open opens the file that is mapped, by O_PATH: see reopen. The path may lead to another one by
// now, so that is the second choice: the first, by the area, needs CAP_CHECKPOINT_RESTORE.
func (m *mapping) open() (*os.File, error) {
	file, err := openRegular(fmt.Sprintf("/proc/%d/map_files/%s", m.pid, m.area), 0, nil)
	if err == nil || m.deleted {
		return file, err
	}
	// A link in the path would be resolved in the root of this process. So what the path leads to is
	// compared with what is mapped.
	file, err = openRegular(fmt.Sprintf("/proc/%d/root%s", m.pid, m.path), unix.O_NOFOLLOW, m.same)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errReplaced
	}
	return file, err
}

// openRegular opens a regular file, but not for reading: to open a device or a FIFO can have an
// effect, which O_PATH has not.
func openRegular(path string, flags int, same func(descriptor int, status *unix.Stat_t) bool) (*os.File, error) {
	descriptor, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var status unix.Stat_t
	err = unix.Fstat(descriptor, &status)
	if err == nil && (status.Mode&unix.S_IFMT != unix.S_IFREG || same != nil && !same(descriptor, &status)) {
		err = errReplaced
	}
	if err != nil {
		unix.Close(descriptor)
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return os.NewFile(uintptr(descriptor), path), nil
}

// reopen opens a file of openRegular for reading.
func reopen(file *os.File) (*os.File, error) {
	return os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

// userOf returns the user of a process; that of the superuser if it has ended.
func userOf(pid uint32) uint32 {
	var status unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d", pid), &status); err != nil {
		return 0
	}
	return status.Uid
}

// same reports whether a file is the one that is mapped. Overlays and btrfs have other devices in
// /proc/PID/maps than for fstat.
func (m *mapping) same(descriptor int, status *unix.Stat_t) bool {
	var system unix.Statfs_t
	if status.Ino != m.inode || unix.Fstatfs(descriptor, &system) != nil {
		return false
	}
	if system.Type == unix.OVERLAYFS_SUPER_MAGIC || system.Type == unix.BTRFS_SUPER_MAGIC {
		return true
	}
	return m.device == fmt.Sprintf("%02x:%02x", unix.Major(status.Dev), unix.Minor(status.Dev))
}

// identity is a file and its state: one that was written since is another. Uprobes belong to inodes.
// Containers of one image share the inodes below their overlays, although these have devices of their
// own, so there size and time tell files of different file systems apart. The time is ctime, because
// any user can choose mtime.
type identity struct {
	device, inode uint64 // device: 0 for overlays
	size, changed int64  // in bytes; in nanoseconds since 1970
}

func identify(file *os.File) (identity, error) {
	var status unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &status); err != nil {
		return identity{}, fmt.Errorf("stat library: %w", err)
	}
	var system unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &system); err != nil {
		return identity{}, fmt.Errorf("stat library: %w", err)
	}
	id := identity{device: status.Dev, inode: status.Ino, size: status.Size, changed: status.Ctim.Nano()}
	if system.Type == unix.OVERLAYFS_SUPER_MAGIC {
		id.device = 0
	}
	return id, nil
}

// started returns when a process started, in ticks since the kernel did, which tells it from a later
// one of the same number; 0 if it has ended.
func started(pid uint32) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field, the name in parentheses, can contain anything; the time is the 22nd.
	end := strings.LastIndexByte(string(text), ')')
	fields := strings.Fields(string(text[end+1:]))
	if end < 0 || len(fields) < 20 || fields[0] == "Z" {
		return 0
	}
	ticks, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0
	}
	return ticks
}

// foreign returns the TLS library that a file is by its name, if it is one that cannot be observed.
func foreign(name string) Library {
	for _, f := range []struct {
		prefix  string
		library Library
	}{
		{"libgnutls.so", GnuTLS}, {"libssl3.so", NSS}, {"libmbedtls.so", MbedTLS}, {"libwolfssl.so", WolfSSL}, {"librustls", Rustls},
		{"libjvm.so", Java}, {"libnetty_tcnative", Java}, {"libconscrypt", Java},
	} {
		if strings.HasPrefix(name, f.prefix) {
			return f.library
		}
	}
	return Unknown
}
