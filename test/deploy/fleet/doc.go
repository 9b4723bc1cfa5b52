// Program fleet measures what a Prometheus needs for many nodes, and compares what it says with what was counted: many
// Recorders with synthetic traffic, each behind an HTTP endpoint of its own on loopback, as the observer has it, scraped by a
// real Prometheus that evaluates deploy/prometheus/rules.yaml.
//
//	fleet [flags]
//
// It prints tables: series and samples, memory, CPU, scrapes; the time of each recording rule; the time of each query of the
// dashboard, and of those on recorded series also without the rules, that is with the expressions of the rules in their place.
//
// Then the traffic stops, and recorded sums, quantiles and the panels of the first row must equal what was counted. Every series
// exists, at 0, before the traffic begins, and nothing changes at the end. So rate() errs only by what it extrapolates, at most
// 1.1 scrape intervals (see bounds). The exit status is 1 if anything differs.
//
// docs/deployment.md has figures. Prometheus is Debian's, or the one that REDIS_OBSERVER_TEST_PROMETHEUS names. Ports are any
// that are free. It needs no privilege.
package main
