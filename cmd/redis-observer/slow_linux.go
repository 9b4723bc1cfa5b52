package main

import (
	"net"
	"time"

	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/host"
	"github.com/redis-observer/redis-observer/internal/report"
	"github.com/redis-observer/redis-observer/internal/server"
)

// sinceBoot returns the wall time less the monotonic clock, which is that of the events of both kinds of sources.
func sinceBoot() int64 { return time.Now().UnixNano() - host.Monotonic() }

// slowNote returns what is wrong with slow commands at an address of the endpoint, "" for nothing.
func slowNote(c *config.Config, address net.Addr) string {
	if c.SlowCommands.Size == 0 {
		return ""
	}
	if err := server.Guarded(address, c.WebConfig); err != nil {
		return "slow_commands: they show addresses, so they are kept but not served: " + err.Error()
	}
	return ""
}

// slowView returns the slow commands, for those who may see addresses.
func (o *observer) slowView() report.Slow {
	if o.slow == nil {
		return report.Slow{Reason: "slow commands are not kept (set slow_commands.size, to 128 for example)"}
	}
	if err := server.Guarded(o.endpoint.Addr(), o.config.WebConfig); err != nil {
		return report.Slow{Reason: "slow commands show addresses, so they are not served: " + err.Error()}
	}
	return o.slow.View(time.Now())
}
