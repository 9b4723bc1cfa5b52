// Program redis-observer counts the commands, latencies and errors of Redis traffic that it sees with eBPF, and serves them to Prometheus.
//
//	kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics
//
//	$ redis-observer --config observer.yaml
//	time=… level=INFO msg="redis-observer started" version=1.0.0 backend=tracepoint address=[::]:9479 client_ports=[6379] server_ports=[]
//
//	$ redis-observer check --config observer.yaml
//	$ redis-observer replay --config observer.yaml capture.pcap
//	$ redis-observer version
//
// observe.go holds the loop, which is the whole program; daemon.go what surrounds it while it runs: the endpoint, reloads, the service manager.
// SIGINT and SIGTERM detach, let the loop read what was captured, and end within two seconds; SIGHUP reloads the configuration.
// The exit status is 0, or 1 with one message on standard error.
package main
