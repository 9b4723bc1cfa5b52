"""Speaks on connections of its own, from one thread, as it is told on stdin, one order a line; answers each by a line.

open NAME tls|memory|narrow|plain PORT [1.2]   memory: moves the ciphertext itself; narrow: the socket takes parts of records
resume NAME PORT [1.2]: with the session of the latest connection; answers whether the server took it
ask NAME TIMES COMMAND...           in one write; reads all replies
send NAME TIMES COMMAND...          reads nothing
read NAME REPLIES
unseen NAME COMMAND...              by a BIO in front of the TLS object, so that no function of the library for plaintext is called
kill NAME TIMES COMMAND...          as send; killed within the library's call, behind the send of a tls connection
end NAME                            reads until the server ends, then closes
half NAME                           shuts down the sending side of the socket, without an alert
close NAME
"""

import ctypes
import os
import signal
import socket
import ssl
import sys
import time

connections, buffers, sessions = {}, {}, []


def context(version):
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if version:
        c.maximum_version = ssl.TLSVersion.TLSv1_2
    return c


contexts = {v: context(v) for v in (False, True)}


class Memory:
    """A TLS connection whose ciphertext this program moves."""

    def __init__(self, over, version):
        self.socket, self.input, self.output = over, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = contexts[version == "1.2"].wrap_bio(self.input, self.output)
        self.run(self.tls.do_handshake)

    def run(self, call, *arguments):
        while True:
            try:
                return call(*arguments)
            except ssl.SSLWantReadError:
                pass
            finally:
                self.socket.sendall(self.output.read())
            self.input.write(self.socket.recv(65536))

    def sendall(self, data):
        self.run(self.tls.write, data)

    def recv(self, size):
        try:
            return self.run(self.tls.read, size)
        except ssl.SSLZeroReturnError:
            return b""

    def close(self):
        self.socket.close()


def open_connection(name, kind, port, version="", session=None):
    c = socket.socket()
    if kind == "narrow":
        c.settimeout(60)  # does not block
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            c.setsockopt(socket.SOL_SOCKET, buffer, 4096)
    c.connect(("127.0.0.1", int(port)))
    if kind in ("tls", "narrow"):
        c = contexts[version == "1.2"].wrap_socket(c, session=session)
    if kind == "memory":
        c = Memory(c, version)
    connections[name], buffers[name] = c, b""


def resume(name, port, version=""):
    open_connection(name, "tls", port, version, sessions[-1])
    return connections[name].session_reused


def send(name, times, *words):
    request = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)
    connections[name].sendall(request * int(times))


def read(name, replies):
    """Knows replies of one line only."""
    while buffers[name].count(b"\r\n") < int(replies):
        more = connections[name].recv(65536)
        assert more, "closed by the server"
        buffers[name] += more
    buffers[name] = b""
    if isinstance(connections[name], ssl.SSLSocket):
        sessions.append(connections[name].session)


def ask(name, times, *words):
    send(name, times, *words)
    read(name, times)


def library():
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return ctypes.CDLL(next(line.split()[5] for line in maps if "libssl" in line))


def object_of(name):
    """The library's object, which stands behind the head of the Python object and a reference."""
    c = connections[name]
    return ctypes.c_void_p.from_address(id((c.tls if isinstance(c, Memory) else c)._sslobj) + 24)


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t,
                            ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_void_p)


@CALLBACK
def written(bio, operation, data, length, number, large, returned, processed):
    if operation == 0x83:  # BIO_CB_WRITE | BIO_CB_RETURN
        time.sleep(0.2)  # the server runs what was sent
        os.kill(os.getpid(), signal.SIGKILL)
    return returned


def kill(name, times, *words):
    lib = library()
    lib.SSL_get_wbio.restype = ctypes.c_void_p
    lib.BIO_set_callback_ex(ctypes.c_void_p(lib.SSL_get_wbio(object_of(name))), written)
    send(name, times, *words)


def unseen(name, *words):
    lib, set_ssl = library(), 109
    for function in ("BIO_f_ssl", "BIO_new"):
        getattr(lib, function).restype = ctypes.c_void_p
    tls = object_of(name)
    bio = ctypes.c_void_p(lib.BIO_new(ctypes.c_void_p(lib.BIO_f_ssl())))
    lib.BIO_ctrl(bio, set_ssl, ctypes.c_long(0), tls)
    text = (" ".join(words) + "\r\n").encode()
    assert lib.BIO_write(bio, text, len(text)) == len(text)
    read(name, 1)


def end(name):
    assert connections[name].recv(65536) == b""
    close(name)


def half(name):
    socket.socket.shutdown(connections[name], socket.SHUT_WR)


def close(name):
    connections.pop(name).close()


ORDERS = {"open": open_connection, "resume": resume, "ask": ask, "send": send, "read": read, "unseen": unseen, "kill": kill, "end": end, "half": half, "close": close}
for line in sys.stdin:
    order, *arguments = line.split()
    print(ORDERS[order](*arguments), flush=True)
