package correlate

// With 192 MiB the totals take 145 MiB: 65,536 connections of 1.3 KB, each of which may be a group
// by itself (0.25 KB), as many ignored ones of 0.1 KB, 1,048,576 places of 24 bytes, and 16 MiB of
// held bytes.
const (
	memoryPerConnection = 3072
	memoryPerPlace      = 192
	memoryPerHeldByte   = 12
)

// Fit sets the totals so that the state of all connections takes at most four fifths of the memory
// that the process may use, in bytes. More than 768 MiB changes nothing.
func (o *Options) Fit(memory int64) {
	o.MaxConnections = int(max(1<<10, min(memory/memoryPerConnection, 1<<18)))
	o.MaxOutstandingTotal = int(max(1<<14, min(memory/memoryPerPlace, 1<<21)))
	o.MaxHeldTotal = int(max(1<<20, min(memory/memoryPerHeldByte, 64<<20)))
}
