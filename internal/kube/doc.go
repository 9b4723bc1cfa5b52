// Package kube watches objects of Kubernetes: Services, for their addresses and those of the pods behind
// them, and the pods of the own node, for the names of whoever has a connection.
//
// It feeds packages naming and owner, which are beside the data path. It asks the API server for what is
// needed alone, with one watch each: the named Services, their EndpointSlices, the pods of one node. It reads
// the few fields that matter. A client of Kubernetes with its caches would be larger than the rest of the
// program.
//
// The API server may be away, slow, or wrong: a watch that fails is repeated, ever more slowly,
// and what was known stays. Messages and numbers of addresses, pods and containers are bounded.
package kube
