// Package attach attaches probes to the TLS libraries of processes, in a process of its own.
//
// Attaching needs privileges for as long as new programs start: to attach eBPF programs, and to read
// the files of other processes. The observer reads what others send, so it must not keep these. So
// before it drops its privileges it starts a second process of the same program (Start), which reads
// no payload, and which it only asks to look at a process, by its number (Look). Requests and replies have a
// fixed size. The observer gets the links of what was attached, so if the second process ends,
// everything stays attached, and no further library is.
//
// A library is a file: attached once, it is observed in all processes, of all containers, that have
// mapped it or will.
package attach
