// Package sockets lists the TCP sockets of this machine's network namespace, by NETLINK_SOCK_DIAG.
//
// It serves the first stage of kernel → event.Source → parser.Stream → correlate.Tracker →
// metrics.Recorder → /metrics where that reads packets, which do not show idle connections.
//
// List needs no privilege, and Linux 3.3. The kernel does not return the stream offsets of a
// socket.
//
// Any goroutine may call List. It takes about a microsecond for each socket, and memory for those
// that it returns.
package sockets
