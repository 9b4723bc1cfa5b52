# Reads a reply in pieces, without a call of the socket for each: the library has decrypted it as a
# whole. Arguments: the port of a server by TLS, which sends back what it gets; others are not used.
# The second piece is read in the second quarter.
import socket
import ssl
import sys

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
conn = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))


def pause():
    print(flush=True)
    sys.stdin.readline()


pause()
conn.sendall(b"first, unseen, last;")
assert conn.recv(6) == b"first,"
pause()
assert conn.recv(8) == b" unseen,"
pause()
assert conn.recv(6) == b" last;"
conn.sendall(b"again")
assert conn.recv(10) == b"again"
pause()
