// Program neighbours holds one well-behaved client against one hostile or unlucky one after the other. What the well-behaved client did must be
// counted exactly as its server counted it, whatever the neighbour does, or the row fails.
//
//	$ go run ./test/neighbours -observer build/redis-observer -short
//
// For each row a fresh observer runs with the shipped memory limit as its cgroup's. The victim has a Redis of its own under the name "victim"; the
// neighbour has an address of its own under the name "neighbour". The program needs root and redis-server, and uses the loopback
// ports 24400 to 24402.
package main
