// Package slow keeps the slowest exchanges of the last minutes: what a person needs to see which
// command was slow, when, on which connection, and what it waited behind. It knows no argument, key
// or value.
//
// A Log belongs to the goroutine that adds to it; any goroutine may call View. It takes at most
// Window+1 times its size of entries.
package slow
