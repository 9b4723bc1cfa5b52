// Package packets holds the ways of observing against each other: the same real traffic is seen at once by the probes, by the
// packet backend, and by a tcpdump whose file is replayed. All of them must count the same under each name, and altogether what
// Redis itself counted.
//
// It needs root, redis-server with its tools, and tcpdump, on the PATH or as unpacked by test/unpack.sh. Without them it is skipped,
// unless REDIS_OBSERVER_TEST_REQUIRE is 1. It uses the ports 22500 to 22502 on loopback.
package packets
