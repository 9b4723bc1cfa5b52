package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// product is a kind of server: its programs begin with its name.
type product string

const (
	redis  product = "redis"
	valkey product = "valkey"
)

// server is a row of the table of servers.
type server struct {
	name    string
	product product
	version float64 // of the code line: Valkey 8 and 9 count on from Redis 7.2
	folder  string  // in the cache, as fetch.sh names it
	options []string
	port    int // it and the following one belong to this server; observed
}

// servers are what is tried. The ports lie apart, so that nothing of one server is taken for another's. Redis 6.0 has its cluster
// bus 10000 above its port, and there it must lie below those that the kernel gives to clients.
var servers = []server{
	{"redis-6.0", redis, 6.0, "redis-6.0", nil, 22700},
	{"redis-7.0", redis, 7.0, "redis-7.0", nil, 23110},
	{"redis-8.0", redis, 8.0, "redis-8.0", nil, 23120},
	{"valkey-8", valkey, 8.1, "valkey-8", nil, 23130},
	{"valkey-9", valkey, 9.1, "valkey-9", nil, 23140},
	{"redis-7.0-io", redis, 7.0, "redis-7.0", ioThreads, 23150},
	{"redis-8.0-io", redis, 8.0, "redis-8.0", ioThreads, 23160},
	{"valkey-9-io", valkey, 9.1, "valkey-9", ioThreads, 23170},
}

var ioThreads = []string{"--io-threads", "3", "--io-threads-do-reads", "yes"}

// unobserved is added to a port to get those of replicas and sentinels, which no observer watches.
const unobserved = 500

// clusterOptions are those of a node of a cluster.
func (s *server) clusterOptions(port int) []string {
	if s.version < 7 {
		return []string{"--cluster-enabled", "yes"}
	}
	return []string{"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(port + clusterBus)}
}

// clusterBus is added to a port to get that of the cluster bus, where it can be chosen.
const clusterBus = 600

// since reports whether the server has what came with these versions of Redis and of Valkey.
func (s *server) since(redisVersion, valkeyVersion float64) bool {
	if s.product == valkey {
		return s.version >= valkeyVersion
	}
	return s.version >= redisVersion
}

// countsErrors: INFO commandstats has failed and rejected calls.
func (s *server) countsErrors() bool { return s.since(6.2, 0) }

// oldBenchmark: redis-benchmark may end before it has read all replies.
func (s *server) oldBenchmark() bool { return !s.since(6.2, 0) }

// forgetsWritten: now and then it does not count what an I/O thread wrote to a client: 9 bytes of 57 million at the end of
// redis-benchmark, 473 of 111,000 in raw-crowd, both times by both observers alike, with all requests and commands equal.
func (s *server) forgetsWritten() bool { return s.product == valkey && s.threaded() }

// hasDualChannels: the data set and the changes to it may take a connection each on their way to a replica.
func (s *server) hasDualChannels() bool { return s.product == valkey }

// migratesSlots: whole slots may be moved to another node at a stroke.
func (s *server) migratesSlots() bool { return s.product == valkey && s.version >= 9 }

// speaksMultipath: the server and its tools can use MPTCP, and this kernel has it.
func (s *server) speaksMultipath() bool {
	if s.product != valkey || s.version < 9 {
		return false
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}

// doublesComplaints: breaches of the protocol are counted twice.
func (s *server) doublesComplaints() bool {
	return s.product == redis && s.version == 8.0 && s.threaded()
}

// threaded: I/O threads read and write.
func (s *server) threaded() bool { return s.options != nil }

// program returns the command line of one of the server's programs ("server", "cli", "benchmark"), run by the C library it came with.
func (s *server) program(cache, name string, args ...string) *exec.Cmd {
	root := filepath.Join(cache, s.folder)
	return withLibraries(root, filepath.Join(root, "usr/bin", fmt.Sprintf("%s-%s", s.product, name)), args...)
}
