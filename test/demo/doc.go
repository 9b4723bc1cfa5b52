// Program demo shows what redis-observer does, on this machine and on real traffic, in about ten seconds: it starts a Redis
// server on loopback (an installed redis-server, or else one in this process), two applications that use it under two
// addresses, and the observer beside them; it prints how the observer's numbers grow, on a terminal in the table of top, then the
// four families as a scrape returns them, and what Redis itself counted. Where the kernel's probes are refused the observer captures packets, and where that is
// refused too, it replays recorded traffic.
//
// It is started in the root of the repository:
//
//	demo path/to/redis-observer
package main
