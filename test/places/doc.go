// Package places runs what people try first, `make demo` and `make test`, where they try it: as root in a container with Docker's
// default capabilities and system call filter, and as an ordinary user. Both get a copy of the repository and what Go has fetched.
//
// The container is made by runc: its root is this machine's, which it can only read, its network namespace has a loopback interface
// and nothing else. Tests that packets suffice for must not skip there. PLACES_TEST says which packages are tested (see below).
//
// Root is needed. With REDIS_OBSERVER_TEST_REQUIRE set the tests fail where they would skip.
package places
