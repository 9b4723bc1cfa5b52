// Program suites runs test suites that the authors of clients and of Redis wrote, over TLS, without observers and beside two of them, one
// in each role. No test may end otherwise because it is observed.
//
//	$ go run ./test/suites -observer build/redis-observer -only redis-py
//
// The suites and what they need are fetched into .cache/suites (fetch.sh) and never installed. They run in a network namespace of
// their own. A test whose outcome differs is run again alone, both ways: if it differs again in the same way, the suite fails. It fails
// too unless the observers read the plaintext of its TLS connections. Where the suite has one server, what is counted at both ends
// must be what INFO commandstats has; the output notes the exceptions. Redis' own suite starts and kills servers, so there it is not
// compared, but some units run against one server too.
//
// It needs root, redis-server, Python 3, Tcl, Go, a C compiler and OpenSSL's headers (test/install.sh suites).
package main
