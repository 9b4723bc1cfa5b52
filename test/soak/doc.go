// Program soak runs the observer for a set time under everything that a node does to it. It fails if memory or descriptors grow, if a
// loss is not counted, or if a total is not exact.
//
//	$ go run ./test/soak -observer build/redis-observer -duration 30m
//
// Three servers are observed under three names. On "stable" connections come and go and everything else is well: its totals must
// equal the server's own INFO commandstats. "victim" is killed and started again every few seconds: its totals must equal what its
// clients, which are part of this program, wrote and got. The clients of "killed" are killed in the midst of pipelines: their
// totals are unknown, but nothing may be lost. Of "encrypted", which has TLS, each client is a process that ends after one
// pipeline; its totals must equal the server's own. "strange" is the same server at another address: its clients have TLS libraries of
// their own, to which the observer attaches and from which it detaches. Meanwhile the configuration is reloaded, validly and not, and
// scrapers read slowly or go away. It needs root and redis-server, and uses the loopback ports 24200 to 24205.
package main
