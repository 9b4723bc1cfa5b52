// Uses node-redis with both protocols: pipelining within a tick, transactions, pub/sub, a pool, client-side caching, cursors, errors.
// usage: node-redis.mjs URL VERSION. What it has scripts do is told on stdout, one "inner COMMAND CALLS ERRORS" for each command.
import { createClient, createClientPool, defineScript } from 'redis';

const url = new URL(process.argv[2]);
const socket = url.protocol === 'unix:' ? { path: url.pathname } : { host: url.hostname, port: Number(url.port), tls: url.protocol === 'rediss:' };
const version = Number(process.argv[3]);
const settled = (promises) => Promise.allSettled(promises);

const scripts = {
  both: defineScript({
    SCRIPT: "redis.call('setnx', KEYS[1], 1) return redis.call('get', KEYS[1])",
    NUMBER_OF_KEYS: 1,
    parseCommand: (parser, key) => parser.pushKey(key),
    transformReply: (reply) => reply,
  }),
};

async function round(RESP) {
  const options = { socket, RESP, scripts };
  const db = createClient(options).on('error', () => {});
  await db.connect();
  await Promise.all(Array.from({ length: 1000 }, (_, i) => db.set(`key:${i}`, 'x'.repeat(i * 10))));
  await Promise.all(Array.from({ length: 1000 }, (_, i) => db.get(`key:${i}`)));
  await Promise.all(Array.from({ length: 100 }, (_, i) => db.hSet('hash', `f${i}`, i)));
  await db.hGetAll('hash');
  await db.del(['a', 'counter', 'list']);

  await db.multi().set('a', 1).incr('a').get('a').exec();
  await settled([db.multi().set('a', 'x').lPush('a', 'wrong type').exec()]);
  await settled([db.multi().set('a', 1).addCommand(['GET']).exec()]);
  await db.watch('a');
  await db.unwatch();

  const listener = db.duplicate();
  listener.on('error', () => {});
  await listener.connect();
  let heard = 0;
  let done;
  const all = new Promise((resolve) => { done = resolve; });
  await listener.subscribe('news', () => { if (++heard === 50) done(); });
  await listener.pSubscribe('s*', () => {});
  if (version >= 7) await listener.sSubscribe('shard', () => {});
  for (let i = 0; i < 50; i++) {
    await db.publish('news', 'text');
    await db.publish('sport', 'text');
  }
  if (version >= 7) await db.sPublish('shard', 'text');
  await all;
  await listener.pUnsubscribe('s*');
  await listener.unsubscribe();
  if (version >= 7) await listener.sUnsubscribe('shard');
  await listener.ping();
  await listener.close();

  const pool = createClientPool(options, { minimum: 2, maximum: 5 });
  await pool.connect();
  await Promise.all(Array.from({ length: 200 }, (_, i) => pool.incr(`pooled:${i % 7}`)));
  await pool.execute(async (client) => {
    await client.blPop('empty', version < 6.2 ? 1 : 0.05);
  });
  await pool.close();

  for (let i = 0; i < 10; i++) await db.both('scripted');
  console.log('inner setnx 10 0');
  console.log('inner get 10 0');
  for await (const _ of db.scanIterator({ MATCH: 'key:*', COUNT: 100 }));
  await settled([
    db.sendCommand(['NOSUCH', 'command']), db.sendCommand(['CONFIG', 'NOSUCH']), db.sendCommand(['GET']), db.hSet('a', 'f', 'v'),
    db.lPush('a', 'x'), db.evalSha('f'.repeat(40)), db.configGet('save'), db.sendCommand(['OBJECT', 'ENCODING', 'a']),
  ]);
  await db.close();
}

async function cached() {
  const options = { socket, RESP: 3, clientSideCache: { ttl: 0, maxEntries: 100 } };
  const reader = createClient(options).on('error', () => {});
  const writer = createClient({ socket }).on('error', () => {});
  await Promise.all([reader.connect(), writer.connect()]);
  for (let i = 0; i < 50; i++) {
    await reader.get('tracked');
    await writer.set('tracked', String(i));
    await reader.get(`tracked:${i}`);
  }
  await Promise.all([reader.close(), writer.close()]);
}

await round(2);
await round(3);
await cached();
