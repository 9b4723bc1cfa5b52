// Package kit holds what the suites of test/ share: it starts programs, Redis servers and observers, and reads what both counted.
//
// Nothing here calls testing.T, so programs and tests use it alike. Every function returns its error. A Stop method ends what was
// started, by process id and never by name. Package resp encodes requests and reads replies.
package kit
