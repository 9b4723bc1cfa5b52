// Package kit starts what the test programs observe and what observes it: Redis servers, an observer, clients.
//
// Nothing here calls testing.T, so programs (test/neighbours) and tests can use it alike. Every function returns its error, and
// everything that is started is stopped by its Stop method, by process id and never by name.
package kit
