// Package kube watches Services of Kubernetes: their addresses, and those of the pods behind them.
//
// It feeds package naming, which is beside the data path. It asks the API server for the named
// Services and their EndpointSlices alone, one watch each, and reads the few fields that matter. A
// client of Kubernetes with its caches would be larger than the rest of the program.
//
// The API server may be away, slow, or wrong: a watch that fails is repeated, ever more slowly,
// and what was known stays. Messages and numbers of addresses are bounded.
package kube
