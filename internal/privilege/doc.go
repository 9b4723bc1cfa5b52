// Package privilege gives up what a process may do: the user root, capabilities, and most system calls, in this order.
//
// It stands beside the data path: kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics needs
// capabilities until the probes are attached, and hardly any from then on.
//
// Leave, Drop and Filter are final: what is given up is so on every thread, and the process can gain nothing by executing a program either.
// They work in binaries that are built without cgo, as the shipped one is; elsewhere they return ErrNotSupported and change nothing.
// All functions are safe for use by any goroutine, but they stop all threads, or use one up, and are for the start of a process.
package privilege
