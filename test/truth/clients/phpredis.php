<?php
// Uses phpredis: pipelines, transactions, persistent connections, blocking commands, pub/sub, scripts, cursors, errors.
// usage: phpredis.php URL VERSION. What it has scripts do is told on stdout, one "inner COMMAND CALLS ERRORS" for each command;
// "misses COMMAND N EXCEPTION" of reads that miss N keys more than they have nulls.

[$scheme, $place] = explode('://', $argv[1]);
$version = (float) $argv[2];

function connect(bool $persistent = false): Redis
{
    global $scheme, $place;
    $db = new Redis();
    $method = $persistent ? 'pconnect' : 'connect';
    if ($scheme === 'unix') {
        $db->$method($place);
    } else {
        [$host, $port] = explode(':', $place);
        $db->$method($scheme === 'rediss' ? "tls://$host" : $host, (int) $port, 5);
    }
    return $db;
}

$db = connect();
for ($i = 0; $i < 500; $i++) {
    $db->set("key:$i", str_repeat('x', $i * 37));
    $db->get("key:$i");
    $db->hMSet("hash:$i", ['a' => $i, 'b' => $i]);
    $db->hGetAll("hash:$i");
}
$db->set('big', str_repeat('b', 3000000));
assert(strlen($db->get('big')) === 3000000);
$db->mGet(['key:1', 'none', 'key:2']);

$pipeline = $db->pipeline();
for ($i = 0; $i < 2000; $i++) {
    $pipeline->incr('counter')->lPush('list', $i)->lPush('counter', 'wrong type');
}
$pipeline->exec();
$db->multi()->set('a', 1)->incr('a')->lPush('a', 'wrong type')->exec();
$db->multi()->set('a', 2)->discard();
$db->watch('a');
$db->set('a', 3);
$db->multi()->set('a', 4)->exec();

$cursor = null;
while (($keys = $db->scan($cursor, 'key:*', 50)) !== false);

for ($i = 0; $i < 10; $i++) {
    $db->eval("redis.call('setnx', KEYS[1], 1) return redis.call('get', KEYS[1])", ['scripted'], 1);
}
echo "inner setnx 10 0\ninner get 10 0\n";

$db->rPush('queue', 'x');
$db->blPop(['queue'], 1);
$db->blPop(['empty'], 1);
$db->xRead(['stream' => '$'], 1, 20);
echo "misses xread 1 miss-twice\n";

$db->lPush('a', 'x');
$db->rawCommand('NOSUCH', 'command');
$db->rawCommand('CONFIG', 'NOSUCH');
$db->rawCommand('GET');
$db->evalSha(str_repeat('f', 40));
$db->config('GET', 'save');

$child = pcntl_fork();
if ($child === 0) {
    $publisher = connect();
    for ($heard = 0; $heard < 50; $heard += $publisher->publish('news', 'text'));
    $publisher->publish('nobody', 'text');
    exit(0);
}
$listener = connect();
$heard = 0;
try {
    $listener->subscribe(['news', 'sport'], function (Redis $listener) use (&$heard): void {
        if (++$heard === 50) {
            $listener->close(); // there is no other end of subscribe
        }
    });
} catch (RedisException) {
}
pcntl_waitpid($child, $status);
assert($status === 0);

// A page each: they share a persistent connection.
for ($i = 0; $i < 20; $i++) {
    $page = connect(true);
    $page->get('key:1');
    unset($page);
}
for ($i = 0; $i < 50; $i++) {
    $page = connect();
    $page->incr('pages');
    $page->close();
}
$db->close();
