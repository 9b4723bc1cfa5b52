// Package slow keeps the slowest exchanges of the last minutes: what a person needs to see which
// command was slow, when, on which connection, and what it waited behind. It also sums up all slow
// ones by name, command, labels and process. It knows no argument, key or value.
//
// A Log belongs to the goroutine that adds to it; any goroutine may call View. It takes at most
// Window+1 times its size of entries, and MaxGroups groups.
package slow
