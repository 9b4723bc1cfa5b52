// Package resp encodes requests and reads replies for tests.
//
// It is independent of internal/parser on purpose: a test must not use the code under test to decide what is right. It uses the
// standard library only, so tests of every layer may import it.
package resp
