package correlate

// What the totals take of a process that may use 192 MiB: 65,536 connections of 1.3 KB, each of which may be a group by itself (0.25 KB), as many
// strangers of 0.1 KB, 1,048,576 places of 24 bytes and 16 MiB of held bytes are 145 MiB.
const (
	memoryPerConnection = 3072
	memoryPerPlace      = 192
	memoryPerHeldByte   = 12
)

// Fit sets the totals so that all that is kept of connections, at worst, takes four fifths of the memory that the process may use, in
// bytes; what is more than 768 MiB changes nothing.
func (o *Options) Fit(memory int64) {
	o.MaxConnections = int(max(1<<10, min(memory/memoryPerConnection, 1<<18)))
	o.MaxOutstandingTotal = int(max(1<<14, min(memory/memoryPerPlace, 1<<21)))
	o.MaxHeldTotal = int(max(1<<20, min(memory/memoryPerHeldByte, 64<<20)))
}
