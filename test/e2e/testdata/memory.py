# Uses a Redis by TLS from asyncio, which has the library write ciphertext to memory. Arguments: the
# port, how many rounds, and how many connections, all in one thread.
import asyncio
import ssl
import sys

port, rounds, count = map(int, sys.argv[1:4])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


async def send(connection, *words):
    reader, writer = connection
    writer.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
    await writer.drain()


async def receive(connection):
    line = await connection[0].readline()
    if line[:1] == b"$":
        await connection[0].readexactly(int(line[1:]) + 2)


async def call(connection, *words):
    await send(connection, *words)
    await receive(connection)


async def main():
    connections = [await asyncio.open_connection("127.0.0.1", port, ssl=context) for _ in range(count)]
    for i in range(rounds):
        key = b"key:%d" % (i % count)
        await call(connections[i % count], b"SET", key, b"x" * (1 + i * 37 % 3000 + 60000 * (i % 50 == 0)))
        await asyncio.gather(*(call(c, b"GET", key) for c in connections))
        if i % 10 == 0:
            for _ in range(30):
                await send(connections[i % count], b"INCR", b"n")
            for _ in range(30):
                await receive(connections[i % count])
    for _, writer in connections:
        writer.close()
        await writer.wait_closed()


asyncio.run(main())
