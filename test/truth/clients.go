package main

import "context"

// client is a row of the table of clients.
type client struct {
	name    string
	needs   string             // a package that fetch.sh knows, or needsNode
	options []string           // of the server
	cluster bool               // the server is a node of a cluster
	wants   func(*server) bool // nil for every server
	run     func(context.Context, *round) error
}

// needsNode marks a client that npm fetches.
const needsNode = "npm"

// clients are what is tried. Those whose name begins with raw are sockets on which we send what no library does.
var clients = []client{
	{name: "redis-benchmark", run: benchmark},
	{name: "redis-cli", run: commandLine},
	{name: "go-redis", run: goRedis},
	{name: "ioredis", needs: needsNode, run: nodeScript("ioredis.mjs")},
	{name: "node-redis", needs: needsNode, run: nodeScript("node-redis.mjs")},
	{name: "hiredis", needs: "hiredis", run: hiredis},
	{name: "redis-py", needs: "python", run: python},
	{name: "phpredis", needs: "php", run: php},
	{name: "raw-requests", run: rawRequests},
	{name: "raw-framing", run: rawFraming},
	{name: "raw-limits", run: rawLimits},
	{name: "raw-http", run: rawHTTP},
	{name: "raw-quit", run: rawQuit},
	{name: "raw-silence", run: rawSilence},
	{name: "raw-transactions", run: rawTransactions},
	{name: "raw-pubsub", run: rawPubSub},
	{name: "raw-monitor", run: rawMonitor},
	{name: "raw-protocols", run: rawProtocols},
	{name: "raw-blocking", run: rawBlocking},
	{name: "raw-scripts", run: rawScripts},
	{name: "raw-access", run: rawAccess},
	{name: "raw-refused", run: rawRefused},
	{name: "raw-states", run: rawStates},
	{name: "raw-shapes", run: rawShapes},
	{name: "raw-huge", run: rawHuge},
	{name: "raw-midstream", wants: (*server).countsErrors, run: rawMidstream},
	{name: "raw-endings", run: rawEndings},
	{name: "raw-behind", run: rawBehind},
	{name: "raw-left", run: rawLeft},
	{name: "raw-crowd", run: rawCrowd},
	{name: "raw-unread", wants: (*server).forks, run: rawUnread},
	{name: "raw-pipelines", run: rawPipelines},
	{name: "raw-threads", run: rawThreads},
	{name: "raw-resets", run: rawResets},
	{name: "raw-pushes", run: rawPushes},
	{name: "raw-toggles", run: rawToggles},
	{name: "raw-many", run: rawMany},
	{name: "raw-occupied", run: rawOccupied},
	{name: "raw-waits", run: rawWaits},
	{name: "raw-watched", run: rawWatched},
	{name: "raw-full", options: []string{"--maxclients", "12"}, run: rawFull},
	{name: "raw-renamed", options: []string{"--rename-command", "GET", "XGET"}, run: rawRenamed},
	{name: "raw-mute", options: []string{"--rename-command", "CLIENT", "XCLIENT"}, run: rawMute},
	{name: "replica", run: replication},
	{name: "replica-dual", options: []string{"--dual-channel-replication-enabled", "yes"}, wants: (*server).hasDualChannels, run: replication},
	{name: "sentinel", run: sentinel},
	{name: "migrate", run: migration},
	{name: "cluster", cluster: true, run: cluster},
	{name: "slot-migration", cluster: true, wants: (*server).migratesSlots, run: slotMigration},
}
