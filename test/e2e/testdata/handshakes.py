"""Opens TLS connections, one after another, and prints how long do_handshake() took in all, in seconds, and how many resumed a session.

usage: handshakes.py PORT CERTIFICATE 1.2|1.3 CONNECTIONS resume|full
"""

import socket
import ssl
import sys
import time

port, certificate, version, connections, how = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)
context.minimum_version = context.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
took, resumed, session = 0.0, 0, None
for _ in range(int(connections)):
    plain = socket.create_connection(("127.0.0.1", int(port)))
    secure = context.wrap_socket(plain, do_handshake_on_connect=False, server_hostname="127.0.0.1", session=session)
    time.sleep(0.01)  # between connecting and the handshake: it belongs to neither
    begin = time.perf_counter()
    secure.do_handshake()
    took += time.perf_counter() - begin
    time.sleep(0.01)  # a connection of a pool may rest
    secure.sendall(b"PING\r\n")
    secure.recv(100)
    resumed += secure.session_reused
    if how == "resume":
        session = secure.session
    secure.close()
print(took, resumed)
