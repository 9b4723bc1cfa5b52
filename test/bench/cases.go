package main

import "context"

// benchCase is one line of work.
type benchCase struct {
	name string
	measurement
}

// measurement makes the results of a case. What it returns beside an error is what it measured before.
type measurement interface {
	measure(ctx context.Context, b *bench, name string) ([]result, error)
}

func cases() []benchCase {
	return []benchCase{
		{"get-p1", paired{load: small("get", 1, 50), role: "client", peers: true, kernel: true}},
		{"set-p1", paired{load: small("set", 1, 50), role: "client", peers: true, kernel: true}},
		{"get-p16", paired{load: small("get", 16, 50), role: "client", peers: true, kernel: true}},
		{"set-p16", paired{load: small("set", 16, 50), role: "client", peers: true, kernel: true}},
		{"get-p1-server", paired{load: small("get", 1, 50), role: "server", kernel: true}},
		{"set-p1-server", paired{load: small("set", 1, 50), role: "server", kernel: true}},
		{"get-p16-server", paired{load: small("get", 16, 50), role: "server", kernel: true}},
		{"set-p16-server", paired{load: small("set", 16, 50), role: "server", kernel: true}},
		{"get-p100", paired{load: small("get", 100, 50), role: "client"}},
		{"set-p100", paired{load: small("set", 100, 50), role: "client"}},
		{"get-p1-1conn", paired{load: small("get", 1, 1), role: "client"}},
		{"get-p16-1conn", paired{load: small("get", 16, 1), role: "client"}},
		{"get-p1-1000conn", paired{load: small("get", 1, 1000), role: "client"}},
		{"get-p16-1000conn", paired{load: small("get", 16, 1000), role: "client"}},
		{"get-1mb", paired{load: large("get"), role: "client"}},
		{"set-1mb", paired{load: large("set"), role: "client"}},
		{"unrelated-pipe", paired{load: pingPong{overPipes}, role: "client"}},
		{"unrelated-tcp", paired{load: pingPong{overTCP}, role: "client"}},
		{"unix-get-p1", paired{load: &overPath{benchmark: small("get", 1, 50)}, role: "client", kernel: true, path: true}},
		{"unix-get-p16", paired{load: &overPath{benchmark: small("get", 16, 50)}, role: "client", kernel: true, path: true}},
		{"unix-get-p1-server", paired{load: &overPath{benchmark: small("get", 1, 50)}, role: "server", kernel: true, path: true}},
		{"unix-get-p16-server", paired{load: &overPath{benchmark: small("get", 16, 50)}, role: "server", kernel: true, path: true}},
		{"unrelated-socketpair", paired{load: pingPong{overSocketpair}, role: "client", path: true}},
		{"unrelated-unix", paired{load: pingPong{overUnix}, role: "client", path: true}},
		{"tls-get-p1", paired{load: overTLS{small("get", 1, 50)}, role: "client", tls: true}},
		{"tls-get-p16", paired{load: overTLS{small("get", 16, 50)}, role: "client", tls: true}},
		{"tls-get-p1-server", paired{load: overTLS{small("get", 1, 50)}, role: "server", tls: true}},
		{"tls-get-p16-server", paired{load: overTLS{small("get", 16, 50)}, role: "server", tls: true}},
		{"tls-get-p1-both", paired{load: overTLS{small("get", 1, 50)}, role: atBothEnds, tls: true}},
		{"tls-get-p16-both", paired{load: overTLS{small("get", 16, 50)}, role: atBothEnds, tls: true}},
		{"get-p1-beside-tls", paired{load: small("get", 1, 50), role: "client", beside: true, kernel: true}},
		{"get-p16-beside-tls", paired{load: small("get", 16, 50), role: "client", beside: true, kernel: true}},
		{"unrelated-tls", paired{load: foreignTLS{small("get", 1, 50)}, role: "client", tls: true}},
		{"steady-100", steady{rate: 100, role: "client"}},
		{"steady-1000", steady{rate: 1000, role: "client"}},
		{"steady-10000", steady{rate: 10000, role: "client"}},
		{"steady-10000-closed", steady{rate: 10000, role: "client", closed: true}},
		{"steady-50000", steady{rate: 50000, role: "client"}},
		{"steady-100-server", steady{rate: 100, role: "server"}},
		{"steady-1000-server", steady{rate: 1000, role: "server"}},
		{"steady-10000-server", steady{rate: 10000, role: "server"}},
		{"steady-50000-server", steady{rate: 50000, role: "server"}},
		{"idle", idle{connections: 0}},
		{"connections-idle", idle{connections: 10000}},
		{"connections-active", active{connections: 10000}},
	}
}

// small is a load of values of 3 bytes, redis-benchmark's default.
func small(command string, pipeline, connections int) benchmark {
	return benchmark{command: command, pipeline: pipeline, connections: connections, bytes: 3}
}

func large(command string) benchmark {
	return benchmark{command: command, pipeline: 1, connections: 50, bytes: 1 << 20}
}
