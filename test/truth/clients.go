package main

import "context"

// client is a row of the table of clients.
type client struct {
	name    string
	needs   string             // a package that fetch.sh knows, or needsNode
	options []string           // of the server
	cluster bool               // the server is a node of a cluster
	bytes   bool               // the server has read and written all bytes when the client ends, and counts those of all its connections
	leaves  func(*server) bool // the client may end with replies unread, of which its end does not know the bytes; nil for never
	nulls   bool               // the keys that the server missed are compared with the nulls
	wants   func(*server) bool // nil for every server
	// touch is for clients that run in other processes than this one: with TLS, the libraries of processes are attached.
	touch func(context.Context, *round) (toucher, error)
	run   func(context.Context, *round) error
}

func always(*server) bool { return true }

// needsNode marks a client that npm fetches.
const needsNode = "npm"

// clients are what is tried. Those whose name begins with raw are sockets on which we send what no library does.
var clients = []client{
	{name: "redis-benchmark", bytes: true, leaves: (*server).oldBenchmark, nulls: true, touch: touchByTool, run: benchmark},
	{name: "redis-cli", touch: touchByTool, run: commandLine},
	{name: "go-redis", bytes: true, nulls: true, run: goRedis},
	{name: "go-redis-stripped", bytes: true, nulls: true, touch: touchBy(strippedToucher), run: goRedisStripped},
	{name: "ioredis", bytes: true, nulls: true, needs: needsNode, touch: touchByScript("touch.mjs", node), run: nodeScript("ioredis.mjs")},
	{name: "node-redis", bytes: true, nulls: true, needs: needsNode, touch: touchByScript("touch.mjs", node), run: nodeScript("node-redis.mjs")},
	{name: "hiredis", bytes: true, nulls: true, needs: "hiredis", run: hiredis},
	{name: "hiredis-ssl", bytes: true, nulls: true, needs: "hiredis-ssl", touch: touchBy(hiredisToucher), run: hiredisSSL},
	{name: "redis-py", bytes: true, leaves: always, nulls: true, needs: "python", touch: touchByScript("touch.py", python), run: pythonScript("sync")},
	{name: "redis-py-asyncio", nulls: true, needs: "python", touch: touchByScript("touch_asyncio.py", python), run: pythonScript("asyncio")},
	{name: "phpredis", bytes: true, nulls: true, needs: "php", touch: touchByScript("touch.php", php), run: phpScript},
	{name: "raw-requests", bytes: true, nulls: true, run: rawRequests},
	{name: "raw-framing", bytes: true, nulls: true, run: rawFraming},
	{name: "raw-limits", run: rawLimits},
	{name: "raw-http", run: rawHTTP},
	{name: "raw-quit", run: rawQuit},
	{name: "raw-silence", run: rawSilence},
	{name: "raw-transactions", bytes: true, run: rawTransactions},
	{name: "raw-pubsub", bytes: true, run: rawPubSub},
	{name: "raw-monitor", run: rawMonitor},
	{name: "raw-protocols", bytes: true, run: rawProtocols},
	{name: "raw-blocking", run: rawBlocking},
	{name: "raw-scripts", bytes: true, run: rawScripts},
	{name: "raw-access", run: rawAccess},
	{name: "raw-refused", run: rawRefused},
	{name: "raw-states", run: rawStates},
	{name: "raw-shapes", bytes: true, leaves: always, run: rawShapes},
	{name: "raw-nulls", bytes: true, nulls: true, run: rawNulls},
	{name: "raw-huge", bytes: true, run: rawHuge},
	{name: "raw-midstream", wants: (*server).countsErrors, run: rawMidstream},
	{name: "raw-endings", run: rawEndings},
	{name: "raw-behind", run: rawBehind},
	{name: "raw-left", run: rawLeft},
	{name: "raw-crowd", bytes: true, nulls: true, run: rawCrowd},
	{name: "raw-unread", wants: (*server).forks, run: rawUnread},
	{name: "raw-pipelines", bytes: true, run: rawPipelines},
	{name: "raw-threads", bytes: true, nulls: true, run: rawThreads},
	{name: "raw-resets", run: rawResets},
	{name: "raw-pushes", bytes: true, run: rawPushes},
	{name: "raw-toggles", bytes: true, run: rawToggles},
	{name: "raw-many", run: rawMany},
	{name: "raw-occupied", run: rawOccupied},
	{name: "raw-waits", run: rawWaits},
	{name: "raw-watched", bytes: true, nulls: true, run: rawWatched},
	{name: "raw-full", options: []string{"--maxclients", "12"}, run: rawFull},
	{name: "raw-renamed", bytes: true, nulls: true, options: []string{"--rename-command", "GET", "XGET"}, run: rawRenamed},
	{name: "raw-mute", bytes: true, options: []string{"--rename-command", "CLIENT", "XCLIENT"}, run: rawMute},
	{name: "replica", touch: touchByTool, run: replication},
	{name: "replica-dual", options: []string{"--dual-channel-replication-enabled", "yes"}, wants: (*server).hasDualChannels, touch: touchByTool, run: replication},
	{name: "sentinel", touch: touchByTool, run: sentinel},
	{name: "migrate", touch: touchByTool, run: migration},
	{name: "cluster", bytes: true, nulls: true, cluster: true, touch: touchByTool, run: cluster},
	{name: "slot-migration", cluster: true, wants: (*server).migratesSlots, touch: touchByTool, run: slotMigration},
}
