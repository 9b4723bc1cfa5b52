package attach

import (
	"bufio"
	"cmp"
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

// mostMappings is how many files of one process are looked at.
const mostMappings = 256

// mappings returns the files whose code a process has mapped, those that look like TLS first.
func mappings(pid uint32) ([]mapping, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseMappings(pid, file)
}

// mostLine is the size of the longest line in bytes: a path has 4,096, and a newline in it four.
const mostLine = 4*4096 + 128

func parseMappings(pid uint32, text io.Reader) ([]mapping, error) {
	type key struct {
		device string
		inode  uint64
	}
	var list []mapping
	seen := map[key]bool{}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, mostLine)
	for lines.Scan() && len(list) < mostMappings {
		// start-end perms offset device inode path
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || len(fields[1]) < 3 || fields[1][2] != 'x' || !strings.HasPrefix(fields[5], "/") {
			continue
		}
		inode, err := strconv.ParseUint(fields[4], 10, 64)
		if err != nil || inode == 0 || seen[key{fields[3], inode}] {
			continue
		}
		seen[key{fields[3], inode}] = true
		_, name, _ := strings.Cut(lines.Text(), " /")
		name, deleted := strings.CutSuffix("/"+strings.ReplaceAll(name, `\012`, "\n"), " (deleted)")
		list = append(list, mapping{pid: pid, area: fields[0], device: fields[3], inode: inode, path: name, deleted: deleted})
	}
	slices.SortStableFunc(list, func(a, b mapping) int { return cmp.Compare(rank(a.name()), rank(b.name())) })
	return list, lines.Err()
}

// rank orders files by how likely they have TLS: OpenSSL's library, then programs and others.
func rank(name string) int {
	if strings.HasPrefix(name, "libssl") {
		return 0
	}
	return 1
}

var errReplaced = errors.New("the file was replaced since the process mapped it")

// open opens the file that is mapped. The path may lead to another one by now, so that is the second
// choice: the first, by the area, needs CAP_CHECKPOINT_RESTORE.
func (m *mapping) open() (*os.File, error) {
	const flags = os.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY
	file, err := os.OpenFile(fmt.Sprintf("/proc/%d/map_files/%s", m.pid, m.area), flags, 0)
	if err == nil {
		return file, nil
	}
	if m.deleted {
		return nil, err
	}
	file, err = os.OpenFile(fmt.Sprintf("/proc/%d/root%s", m.pid, m.path), flags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errReplaced
	}
	if err != nil {
		return nil, err
	}
	var status unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &status); err != nil || status.Ino != m.inode || status.Mode&unix.S_IFMT != unix.S_IFREG {
		file.Close()
		return nil, errors.Join(errReplaced, err)
	}
	return file, nil
}

// identity is what a file is known by. Uprobes belong to inodes. Containers of one image share the
// inodes below their overlays, although these have devices of their own, so there the times tell
// files of different file systems apart.
type identity struct {
	device, inode uint64
	size, changed int64 // of files of overlays
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
	if system.Type != unix.OVERLAYFS_SUPER_MAGIC {
		return identity{device: status.Dev, inode: status.Ino}, nil
	}
	return identity{inode: status.Ino, size: status.Size, changed: status.Mtim.Nano()}, nil
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
