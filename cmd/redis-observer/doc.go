// Program redis-observer counts the commands, latencies and errors of Redis traffic with eBPF, and
// serves them to Prometheus.
//
//	kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics
//
//	$ redis-observer --config observer.yaml
//	time=… level=INFO msg="redis-observer started" version=1.0.0 backend=tracepoint address=[::]:9479 client_ports=[6379] server_ports=[]
//
//	$ redis-observer check --config observer.yaml
//	$ redis-observer top http://node-1:9479 http://node-2:9479
//	$ redis-observer replay --config observer.yaml capture.pcap
//	$ redis-observer version
//
// With the build tag man it also writes its manual pages (man.go).
//
// observe.go is the loop. stages.go creates the stages that the daemon and a replay share.
// daemon_linux.go adds the endpoint, reloads and the service manager. SIGINT and SIGTERM detach the
// probes, read the remaining events, and end the process within two seconds; SIGHUP reloads the
// configuration. The exit status is 0, or 1 with one message on standard error; 3 if a replay
// read no Redis traffic.
package main
