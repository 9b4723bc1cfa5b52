// Package e2e tests the whole line, kernel → capture.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics: the
// real binary, built with the race detector, observes a real redis-server through the real probes, and what it serves is compared
// with what Redis counted itself (INFO commandstats).
//
// Every test has servers and an observer of its own, on ports of its own between 25000 and 25999, so that tests run side by side.
// What measures, INFO and CONFIG RESETSTAT, goes over a Unix socket, which is not observed. Clients write with the system call that the
// test is about, and know which bytes they sent.
//
// Where the machine cannot run the probes, or has no redis-server, the tests skip with the reason; with REDIS_OBSERVER_TEST_REQUIRE=1
// they fail instead. They fail as well if `redis-observer check` refuses a machine that has all that it needs.
// REDIS_OBSERVER_TEST_CONNECTIONS sets how many connections the test of churn opens (20000).
package e2e
