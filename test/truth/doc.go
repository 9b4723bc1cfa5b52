// Program truth compares what redis-observer counts with what the servers themselves count.
//
//	go run ./test/truth                                            every server × every transport × every client, about 40 minutes
//	go run ./test/truth -transports unix                           over Unix sockets only
//	go run ./test/truth -servers redis-7.0,valkey-9 -clients go-redis,raw
//	go run ./test/truth -labels                                    with all labels of owners: sums over them must be the same
//	go run ./test/truth -count 5                                   the whole, five times
//
// Servers and clients are fetched as packages into .cache/truth (fetch.sh, npm) and never installed. For every pair of a server
// and a client a fresh server is started, the client is run over TCP, and again over a Unix socket and over TLS (transport.go), while two real
// observers watch with eBPF, one in each role, and INFO commandstats is then read where no observer sees it: over a Unix
// socket, or TCP. Calls and errors of every command must be equal; where they cannot be, an exception from the table in exceptions.go
// names the commands, by how much, and why. Every loss counter must stay at zero, and the gauges must have as many connections at
// the end as the server. Clients that cannot use a transport are left out, and the output says why.
//
// It needs root, Debian's keyring, Node.js with npm, Python 3 and a C compiler. Each stage can be left out with -servers and -clients.
//
//	server        transport  client      role    commands  differences  losses
//	redis-7.0     tcp        go-redis    client     12873            0       0
//	redis-7.0     tcp        go-redis    server     12873            0       0
package main
