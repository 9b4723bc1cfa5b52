// Package e2e tests the whole line, kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics: the
// real binary, built with the race detector, observes a real redis-server through the real probes, and what it serves is compared
// with what Redis counted itself (INFO commandstats).
//
// Every test has servers and an observer of its own, on ports of its own between 25000 and 25999, so that tests run side by side.
// INFO and CONFIG RESETSTAT go over a Unix socket, which is not observed. Clients write with the system call under test.
//
// Where the probes are refused, the observer captures packets, and the tests assert what packets show. Where that is refused too, or
// redis-server is missing, they skip with the reason. REDIS_OBSERVER_TEST_REQUIRE makes skipping fail: 1 for all tests, packets for
// those that the packet backend can run. On a machine that has all that the probes need, tests fail if the probes cannot be attached.
// REDIS_OBSERVER_CAPTURE_BACKEND=packet runs the suite over packets where the probes would work too.
// REDIS_OBSERVER_TEST_CONNECTIONS sets how many connections the test of churn opens (20000).
package e2e
