// Program bench measures the cost of redis-observer for the observed programs, and whether it loses anything: it starts a
// redis-server of its own on loopback and runs redis-benchmark against it in pairs, with the observer and without, in
// alternating order, so that other work on the machine falls on both alike. docs/performance.md explains each figure.
//
//	bench [flags] path/to/redis-observer
//
//	case     watched by  metric              median  min    max    bar      met
//	get-p1   observer    throughput kept     …       …      …      ≥ 0.95   yes
//
// cases.go holds the table of cases, bar.go the table of limits. A missed limit is not a failure: the exit status is 1
// only if something cannot be measured, if the observer's counts differ from those of Redis, or if it lost anything.
// It needs root, redis-server and redis-benchmark 6.2 or later with TLS, and openssl; the ports are 26500 to 26506 on 127.0.0.1.
// The observer inherits the environment: REDIS_OBSERVER_CAPTURE_BACKEND=kprobe measures another backend.
package main
