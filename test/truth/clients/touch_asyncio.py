"""touch.py with asyncio, which moves the ciphertext itself: other probes read that."""

import asyncio
import ssl
import sys

context = ssl.create_default_context()


async def touch():
    reader, writer = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]), ssl=context)
    writer.write(b"PING\r\n")
    await reader.read(100)
    writer.close()
    await writer.wait_closed()


for _ in sys.stdin:
    asyncio.run(touch())
    print("touched", flush=True)
