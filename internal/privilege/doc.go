// Package privilege knows which capabilities the process holds, and gives them up.
//
// It stands beside the data path: kernel → capture.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics needs
// capabilities until the probes are attached, and hardly any from then on.
//
// Drop is final: what is given up leaves the permitted set of every thread, and the process can gain nothing by executing a program either.
// It works in binaries that are built without cgo, as the shipped one is; elsewhere it returns ErrNotSupported and changes nothing.
// All functions are safe for use by any goroutine; Drop and Works stop all threads, or use one up, and are for the start of a process.
package privilege
