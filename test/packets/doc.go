// Package packets compares the ways of observing: the probes, the packet backend, and a tcpdump whose file is replayed see the same
// real traffic at once. All of them must count the same under each name, and altogether what
// Redis itself counted.
//
// It needs root, redis-server with its tools, and tcpdump, on the PATH or as unpacked by test/unpack.sh. Without them it is skipped,
// unless REDIS_OBSERVER_TEST_REQUIRE is 1. It uses the ports 22500 to 22502 on loopback.
package packets
