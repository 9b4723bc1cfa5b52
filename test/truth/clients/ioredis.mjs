// Uses ioredis: automatic pipelining, transactions, pub/sub, blocking commands, scripts, cursors, errors.
// usage: ioredis.mjs URL VERSION. What it has scripts do is told on stdout, one "inner COMMAND CALLS ERRORS" for each command;
// "misses COMMAND N EXCEPTION" of reads that miss N keys more than they have nulls.
import Redis from 'ioredis';

const url = process.argv[2];
const version = Number(process.argv[3]);
const settled = (promises) => Promise.allSettled(promises);

const db = new Redis(url);
const automatic = new Redis(url, { enableAutoPipelining: true });
const listener = new Redis(url);
const blocked = new Redis(url);

await Promise.all(Array.from({ length: 500 }, (_, i) => automatic.set(`key:${i}`, 'x'.repeat(i * 4))));
await Promise.all(Array.from({ length: 500 }, (_, i) => automatic.getBuffer(`key:${i}`)));

const pipeline = db.pipeline();
for (let i = 0; i < 1000; i++) pipeline.incr('counter').lpush('list', i).lpush('counter', 'wrong type').hset(`hash:${i % 10}`, i, i);
await pipeline.exec();

await db.multi().set('a', 1).incr('a').lpush('a', 'wrong type').get('a').exec();
await settled([db.multi().set('a', 1).get('too', 'many', 'arguments').exec()]);
await db.multi({ pipeline: false });
await db.set('b', 1);
await db.get('b');
await db.exec();
await db.multi({ pipeline: false });
await db.incr('b');
await db.discard();

let heard = 0;
const all = new Promise((resolve) => listener.on('message', () => { if (++heard === 100) resolve(); }));
await listener.subscribe('news', 'sport', 'news');
await listener.psubscribe('n*');
for (let i = 0; i < 100; i++) await db.publish('news', 'x'.repeat(i * 100));
await all;
await listener.unsubscribe('sport', 'nothing');
await listener.punsubscribe('n*');
await listener.unsubscribe('news');
await listener.get('a');

const waiting = blocked.blpop('queue', 5);
await db.rpush('queue', 'x');
await waiting;
await blocked.blpop('empty', version < 6.2 ? 1 : 0.05);
await blocked.xread('BLOCK', 20, 'STREAMS', 'stream', '$');

db.defineCommand('both', { numberOfKeys: 1, lua: "redis.call('setnx', KEYS[1], 1) return redis.call('get', KEYS[1])" });
for (let i = 0; i < 20; i++) await db.both('scripted');
console.log('inner setnx 20 0');
console.log('inner get 20 0');
console.log('misses xread 1 miss-twice');

for await (const _ of db.scanStream({ match: 'key:*', count: 50 }));
for await (const _ of db.hscanStream('hash:1'));
await settled([
  db.call('nosuch', 'command'), db.call('config', 'nosuch'), db.call('config'), db.hset('a', 'f', 'v'), db.get('too', 'many'),
  db.evalsha('f'.repeat(40), 0), db.call('object', 'encoding', 'a'), db.call('command', 'count'), db.config('GET', 'save'),
]);
const monitor = await db.monitor();
await db.set('seen', 1);
await db.get('seen');
monitor.disconnect();

await Promise.all([db, automatic, listener, blocked].map((c) => c.quit()));
