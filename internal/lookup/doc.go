// Package lookup resolves host names and SRV records, and says how long the addresses are valid.
//
// It is the resolver of package naming, which is beside the data path. Go's resolver does the work
// and goes by the files of the system (resolv.conf, hosts); it does not return the lifetimes of
// records. So a Resolver reads the same messages of the DNS servers as they pass. It trusts
// nothing in them but the lifetimes, which only decide when the name is looked up again.
//
// A Resolver is safe for concurrent use.
package lookup
