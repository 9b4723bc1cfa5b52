//go:build race

package e2e

// raceFlags build the observer with the race detector where the tests are.
var raceFlags = []string{"-race"}
