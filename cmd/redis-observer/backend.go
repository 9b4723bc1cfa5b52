package main

import (
	"context"
	"errors"

	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/capture"
)

// open opens the source that the options name. Packets stand in for the probes only where that is left to us, and none of them works: that
// there are too few descriptors just now says nothing about that.
func open(ctx context.Context, options capture.LiveOptions) (live, error) {
	if options.Backend == capture.PacketBackend {
		return openPackets(options)
	}
	probes, err := capture.OpenLive(ctx, options)
	if err == nil {
		return probes, nil
	}
	if options.Backend != capture.Auto || bpf.Shortage(err) || ctx.Err() != nil {
		return nil, err
	}
	packets, fault := openPackets(options)
	if fault != nil {
		return nil, errors.Join(err, fault)
	}
	options.Logger.Warn("no eBPF backend works on this host; falling back to packet capture, which uses more CPU and does not see other network namespaces", "error", err)
	return packets, nil
}

func openPackets(options capture.LiveOptions) (live, error) {
	packets, err := capture.OpenPackets(options)
	if err != nil {
		return nil, err // not a nil *Packets in the interface
	}
	return packets, nil
}
