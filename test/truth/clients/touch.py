"""Opens a TLS connection for each line that it reads, sends one PING, and answers by a line. usage: touch.py HOST PORT"""

import socket
import ssl
import sys

context = ssl.create_default_context()
for _ in sys.stdin:
    with context.wrap_socket(socket.create_connection((sys.argv[1], int(sys.argv[2]))), server_hostname=sys.argv[1]) as connection:
        connection.sendall(b"PING\r\n")
        connection.recv(100)
    print("touched", flush=True)
