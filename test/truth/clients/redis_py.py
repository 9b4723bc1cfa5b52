"""Uses redis-py: pool, pipelines, transactions, pub/sub, MONITOR, blocking commands, scripts, locks, cursors, errors, asyncio.

usage: redis_py.py URL VERSION sync|asyncio. What it has scripts do is told on stdout, one "inner COMMAND CALLS ERRORS" for each command;
"misses COMMAND N EXCEPTION" of reads that miss N keys more than they have nulls.
"""

import asyncio
import os
import sys
import threading

import redis
import redis.asyncio

URL, VERSION, PART = sys.argv[1], float(sys.argv[2]), sys.argv[3]
OPTIONS = {"ssl_ca_certs": os.environ["SSL_CERT_FILE"]} if URL.startswith("rediss:") else {}


def inner(command, calls, errors=0):
    print("inner", command, calls, errors)


def misses(command, n, exception):
    print("misses", command, n, exception)


def failing(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except redis.RedisError:
        pass


def basics(db):
    for i in range(200):
        db.set(f"key:{i}", "x" * (i * 37))
        db.get(f"key:{i}")
        db.hset("hash", mapping={"f": i, "g": i})
    db.mget([f"key:{i}" for i in range(100)])
    db.set("big", "b" * 3_000_000)
    assert len(db.get("big")) == 3_000_000
    list(db.scan_iter("key:*"))
    list(db.hscan_iter("hash"))
    db.sort("nothing")
    misses("sort", 1, "miss-without-null")
    db.object("encoding", "big")
    db.config_get("maxmemory")
    db.client_list()
    db.info("server")


def cache(db):
    for i in range(50):
        db.set(f"cached:{i}", i)
        assert db.get(f"missing:{i}") is None
        assert db.mget(f"missing:{i}", f"cached:{i}", "missing") == [None, str(i).encode(), None]
        assert db.hmget("missing", "field", "other") == [None, None]
        misses("hmget", -1, "null-within")
    with db.pipeline() as p:
        for i in range(50):
            p.get(f"missing:{i}").get(f"cached:{i}")
        assert p.execute().count(None) == 50


def pipelines(db):
    with db.pipeline(transaction=False) as p:
        for i in range(1000):
            p.incr("counter").lpush("list", i).lpush("counter", "wrong type")
        p.execute(raise_on_error=False)
    with db.pipeline() as p:
        p.set("text", "x").incr("text").get("text").lpush("text", "x")
        p.execute(raise_on_error=False)
    with db.pipeline() as p:
        p.set("text", "x").execute_command("GET")
        failing(p.execute)
    with db.pipeline() as p:
        p.watch("watched")
        db.incr("watched")
        p.multi()
        p.set("never", 1)
        failing(p.execute)

    def body(p):
        p.multi()
        p.set("watched", 1)

    db.transaction(body, "watched")


def pubsub(db):
    with db.pubsub() as sub:
        sub.subscribe("news", "sport")
        sub.psubscribe("n*")
        for i in range(50):
            db.publish("news", "x" * i)
            db.publish("nobody", i)
        heard = 0
        while heard < 103:
            message = sub.get_message(timeout=5)
            assert message, "a message is missing"
            heard += 1
        sub.ping()
        sub.unsubscribe("sport", "nothing")
        sub.punsubscribe()
        sub.unsubscribe()
        while sub.get_message(timeout=0.1):
            pass


def monitored(db):
    with db.monitor() as monitor:
        db.set("seen", 1)
        db.get("seen")
        next(monitor.listen())


def blocking(db):
    threading.Timer(0.05, lambda: db.rpush("queue", "x")).start()
    assert db.blpop("queue", 5)
    db.blpop("empty", 1)
    db.xread({"stream": "$"}, block=20)
    misses("xread", 1, "miss-twice")
    db.xadd("stream", {"a": 1})
    db.xgroup_create("stream", "group", id="0")
    db.xreadgroup("group", "me", {"stream": ">"}, block=20)


def scripts(db):
    both = db.register_script("redis.call('setnx', KEYS[1], 1) return redis.call('get', KEYS[1])")
    for _ in range(10):
        both(keys=["scripted"])
    inner("setnx", 10)
    inner("get", 10)
    lock = db.lock("lock", timeout=5)
    assert lock.acquire()
    lock.extend(1)
    lock.release()
    # extend: get, pttl, pexpire; release: get, del
    inner("get", 2)
    inner("pttl", 1)
    inner("pexpire", 1)
    inner("del", 1)


def errors(db):
    db.set("text", "x")
    for _ in range(10):
        failing(db.lpush, "text", "x")
        failing(db.execute_command, "NOSUCH", "command")
        failing(db.execute_command, "CONFIG", "NOSUCH")
        failing(db.execute_command, "GET")
        failing(db.evalsha, "f" * 40, 0)
        failing(db.incr, "text")


async def asynchronous():
    db = redis.asyncio.Redis.from_url(URL, max_connections=20, **OPTIONS)
    await asyncio.gather(*(db.set(f"async:{i % 5}", "x" * i) for i in range(20)))
    async with db.pipeline(transaction=True) as p:
        await p.set("a", 1).incr("a").execute()
    sub = db.pubsub()
    await sub.subscribe("async")
    await db.publish("async", "x")
    while not (message := await sub.get_message(timeout=5)) or message["type"] != "message":
        pass
    await sub.unsubscribe()
    await sub.close()
    await db.close(close_connection_pool=True)


def synchronous():
    db = redis.Redis.from_url(URL, **OPTIONS)
    for part in (basics, cache, pipelines, pubsub, monitored, blocking, scripts, errors):
        part(db)
    with redis.Redis(connection_pool=redis.ConnectionPool.from_url(URL, **OPTIONS), single_connection_client=True) as single:
        basics(single)
    db.close()


if PART == "sync":
    synchronous()
else:
    asyncio.run(asynchronous())
