package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// benchmark runs redis-benchmark: every test that it has, pipelines, threads, scripts, keys at random.
func benchmark(ctx context.Context, r *round) error {
	const scripts = 500
	every := []string{"-q", "-n", "1000", "-c", "20"}
	if r.transport.name == "unix" && r.server.product == valkey && r.server.version < 9 {
		// All but its test of functions, which connects to 127.0.0.1:6379 whatever -s says.
		every = append(every, "-t", "ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange,mset,xadd")
	}
	runs := [][]string{
		every,
		{"-q", "-n", "20000", "-P", "16", "-t", "get,set,incr", "-r", "1000"},
		{"-q", "-n", "20000", "-P", "100", "-c", "100", "-t", "get,lpush"},
		{"-q", "-n", "2000", "-c", "10", "-d", "20000", "-t", "set,get"},
		{"-q", "-n", "3000", "--threads", "2", "-t", "set,hset"},
		{"-q", "-n", "1000", "-k", "0", "-c", "5", "-t", "get"},
		{"-q", "-n", strconv.Itoa(scripts), "eval", "return redis.call('INCRBY', KEYS[1], 1)", "1", "counted"},
	}
	if r.server.since(7.0, 0) {
		runs = append(runs, []string{"-q", "-3", "-n", "2000", "-t", "set,get,lrange_100"})
	}
	if r.transport.name == "tcp" && r.server.speaksMultipath() {
		runs = append(runs, []string{"-q", "--mptcp", "-n", "3000", "-c", "10", "-t", "set,get"},
			[]string{"-q", "--mptcp", "-n", "20000", "-P", "16", "-t", "get"})
	}
	for _, args := range runs {
		if _, err := r.tool(ctx, "benchmark", "", args...); err != nil {
			return err
		}
	}
	r.allow(scriptInner, "incrby", exactly(scripts), exactly(0))
	return nil
}

// commandLine runs redis-cli in its modes.
func commandLine(ctx context.Context, r *round) error {
	return errors.Join(cliFinite(ctx, r), cliEndless(r), cliSnapshot(ctx, r))
}

// cliFinite runs the modes that end by themselves.
func cliFinite(ctx context.Context, r *round) error {
	script := filepath.Join(r.folder, "script.lua")
	if err := writeFile(script, "return redis.call('GET', KEYS[1])"); err != nil {
		return err
	}
	r.allow(scriptInner, "get", exactly(1), exactly(0))
	var mass strings.Builder
	for i := range 20000 {
		mass.WriteString(multibulk("SET", fmt.Sprintf("key:%d", i), strings.Repeat("v", i%300)))
	}
	interactive := "SET a 1\nGET a\nLPUSH a x\nMULTI\nSET b 2\nINCR b\nEXEC\nnosuch command\nHGETALL h\nSELECT 3\nGET a\n3 PING\nQUIT\n"
	for _, mode := range []struct {
		input string
		args  []string
	}{
		{mass.String(), []string{"--pipe"}},
		{interactive, nil},
		{"GET a\nHSET h f v\nHGETALL h\n", []string{"-n", "5"}},
		{"the value", []string{"-x", "SET", "from-stdin"}},
		{"", []string{"-r", "50", "-i", "0", "INCR", "counter"}},
		{"", []string{"--scan", "--pattern", "key:1*"}},
		{"", []string{"--bigkeys"}},
		{"", []string{"--memkeys"}},
		{"", []string{"--eval", script, "a"}},
		{"", []string{"--no-raw", "LRANGE", "a", "0", "-1"}},
		{"", []string{"--csv", "KEYS", "key:19*"}},
		{"", []string{"EVALSHA", "ffffffffffffffffffffffffffffffffffffffff", "0"}},
		{"", []string{"DEBUG", "SLEEP", "0.05"}},
	} {
		if _, err := r.tool(ctx, "cli", mode.input, mode.args...); err != nil && !strings.Contains(err.Error(), "exit status 1") {
			return err // status 1 means an error reply
		}
	}
	if r.server.since(6.0, 0) {
		_, err := r.tool(ctx, "cli", "HELLO 3\nSET a 1\nHGETALL h\nINFO server\n", "-3")
		return err
	}
	return nil
}

// cliEndless runs the modes that go on until they are killed. The command that they are killed in has been counted by the
// server, or never reached it.
func cliEndless(r *round) error {
	for _, mode := range [][]string{
		{"--latency"}, {"--stat", "-i", "0.1"}, {"--latency-history", "-i", "0.2"}, {"--lru-test", "100"},
		{"SUBSCRIBE", "news"}, {"PSUBSCRIBE", "n*"}, {"MONITOR"},
	} {
		beside := make(chan error, 1)
		go func() { beside <- r.chatter(400 * time.Millisecond) }()
		if err := r.forAWhile(500*time.Millisecond, "cli", "", mode...); err != nil {
			return err
		}
		if err := <-beside; err != nil {
			return err
		}
	}
	for _, label := range []string{"ping", "info", "get", "set"} {
		r.allow(neverRead, label, span{-2, 0}, exactly(0))
	}
	return nil
}

// chatter makes traffic for those that listen.
func (r *round) chatter(d time.Duration) error {
	w, err := r.dial()
	if err != nil {
		return err
	}
	defer w.Close()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := w.ask("PUBLISH news text", "SET a 1", "LPUSH a x", "PUBLISH nothing x"); err != nil {
			return err
		}
	}
	return nil
}

// cliSnapshot fetches the data set as a replica would, and acts as one.
func cliSnapshot(ctx context.Context, r *round) error {
	if _, err := r.tool(ctx, "cli", "", "--rdb", filepath.Join(r.folder, "copy.rdb")); err != nil {
		return err
	}
	replica := "--replica"
	if r.server.version < 7 {
		replica = "--slave"
	}
	return r.forAWhile(700*time.Millisecond, "cli", "", replica)
}
