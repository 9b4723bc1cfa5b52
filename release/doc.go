// Program release builds everything that users get, into a folder: binaries, archives, deb, rpm, container image, chart, software bill
// of materials, and checksums.
//
//	go run . -output ../dist
//
// The same commit and the same version of Go give the same bytes, on any machine: every time stamp is that of the commit, and lists
// are sorted. It needs the Go toolchain and git alone: no Docker, dpkg, rpmbuild or helm.
//
// It is a module of its own, so that the libraries that make packages and images are no dependencies of the observer.
package main
