// Package conformance holds one test that every backend has to pass, on every kernel: the observer's own binary watches
// real traffic with redis-server, and what its endpoint then says is compared with INFO commandstats.
//
// The traffic passes every way into the socket layer (read and write, vectors, messages, peeks, short sends, sendfile), over
// IPv4, IPv6 and IPv4-mapped addresses, seen from the client's end and from the server's. The test also proves that nothing
// remains in the kernel when the observer stops or is killed.
//
// It runs natively (`go test ./test/kernels/conformance`, as root, with redis-server), and in the guests of ../matrix.
// CONFORMANCE_OBSERVER names the binary to test; without it one is built. CONFORMANCE_REQUIRED lists the backends that have
// to work, separated by commas: without it those that do not are reported only. BACKEND/unix among them has Unix sockets tested with
// that backend; so they are with every one if none is listed, or CONFORMANCE_UNIX is set. CONFORMANCE_NARROW names this test as a
// binary of 32 bits, which is built, too, if it is not given. CONFORMANCE_ALONE says that nothing else on the machine uses
// BPF, so that nothing at all may remain, nor the clock of the day, so that it may be set.
package conformance
