// Package privilege drops the privileges of a process: the user root, capabilities, and most system
// calls, in this order.
//
// The data path, kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder →
// /metrics, needs capabilities until the probes are attached, and hardly any afterwards.
//
// Leave, Drop and Filter are final and apply to all threads, and the process cannot regain
// privileges by executing a program. They work in binaries built without cgo, as the released one
// is; in others they return ErrNotSupported and change nothing. All functions are safe for
// concurrent use, but they stop or consume threads, and are meant for the start of a process.
package privilege
