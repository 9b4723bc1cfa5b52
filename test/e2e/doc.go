// Package e2e tests the whole line, kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics: the
// real binary, built with the race detector, observes a real redis-server through the real probes, and what it serves is compared
// with what Redis counted itself (INFO commandstats).
//
// Every test has servers and an observer of its own, on ports of its own between 25000 and 25999, so that tests run side by side.
// What measures, INFO and CONFIG RESETSTAT, goes over a Unix socket, which is not observed. Clients write with the system call that the
// test is about, and know which bytes they sent.
//
// Where the probes are refused, the observer captures packets, and the tests assert what then happens. Where that is refused too, or
// redis-server is missing, they skip with the reason. REDIS_OBSERVER_TEST_REQUIRE says what must not skip: 1 for all, packets for what
// the packet backend can. Tests fail in any case on a machine that has all that the probes need and cannot attach them.
// REDIS_OBSERVER_CAPTURE_BACKEND=packet runs the suite over packets where the probes would work too.
// REDIS_OBSERVER_TEST_CONNECTIONS sets how many connections the test of churn opens (20000).
package e2e
