// Package command is the closed table of the commands and the error prefixes that may leave the
// parser.
//
//	kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics
//
// The tracker asks it for the ID of a request and for the Prefix of an error reply, the recorder
// for the label of an ID. Whatever is not in the table is Other: no name that a client invents, and
// nothing of its arguments, can reach a metric.
//
// The table holds the commands of Redis 6.0 to 8, Valkey 8 and 9, Redict 7.3 and Sentinel, the
// names that clients send ahead of their servers, and the modules RedisJSON, RediSearch,
// RedisTimeSeries, RedisBloom and vector sets. commands.tsv is the source, table_gen.go is
// generated from it. A configuration may add names and say which commands were renamed.
//
// Lookup neither keeps nor changes the slices that it is given and allocates nothing. Everything
// here is immutable after its construction and may be used by any number of goroutines.
//
// Bounds: names have at most 63 bytes, and a Table at most 1024 commands more than the built-in
// ones. New returns an error for each name that is not valid; nothing else fails.
package command
