// Package deploy tests what is under /deploy, and the observer as it is deployed: the real binary, under the privileges of the
// manifests, scraped by a real Prometheus.
//
// It is a module of its own, because the types and tools of Kubernetes, Helm and Prometheus that check the files are large, and
// the observer's own module is not to depend on them. Nothing here is part of the product.
//
// Tests that need root skip without it, unless REDIS_OBSERVER_TEST_REQUIRE is set. They use loopback ports 24100 to 24199.
package deploy
