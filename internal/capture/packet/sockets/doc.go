// Package sockets lists the TCP sockets of this machine's network namespace, by NETLINK_SOCK_DIAG.
//
// It serves the first stage of kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics where that
// reads packets: these do not tell of connections that are silent.
//
// No privilege is needed, and no feature of the kernel younger than 3.3. Offsets in the streams are not told.
//
// List may be called by any goroutine. It takes about a microsecond for each socket, and memory for those that it returns.
package sockets
