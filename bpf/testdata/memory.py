# Calls libssl itself and moves the ciphertext between its BIOs and a socket. Arguments: the port of a
# server by TLS, which sends back what it gets; another port; the number of rounds; the path of libssl.
# Two connections speak in each quarter: the first has two BIOs in memory, the second a pair of BIOs
# that takes 1000 bytes at a time. In the second quarter one reply of each is read, and in the third
# one request of each is written, by a BIO in front of the object, which calls no probed function for
# plaintext.
import ctypes
import socket
import sys

port, _, rounds = map(int, sys.argv[1:4])
lib = ctypes.CDLL(sys.argv[4])
for name in "TLS_client_method", "SSL_CTX_new", "SSL_new", "BIO_new", "BIO_s_mem", "BIO_f_ssl":
    getattr(lib, name).restype = ctypes.c_void_p
context = ctypes.c_void_p(lib.SSL_CTX_new(ctypes.c_void_p(lib.TLS_client_method())))
SET_SSL = 109


def memory():
    return ctypes.c_void_p(lib.BIO_new(ctypes.c_void_p(lib.BIO_s_mem())))


class Conn:
    def __init__(self, pair):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.ssl = ctypes.c_void_p(lib.SSL_new(context))
        if pair:
            inside, self.input = ctypes.c_void_p(), ctypes.c_void_p()
            size = ctypes.c_size_t(1000)
            assert lib.BIO_new_bio_pair(ctypes.byref(inside), size, ctypes.byref(self.input), size) == 1
            self.output = self.input
            lib.SSL_set_bio(self.ssl, inside, inside)
        else:
            self.input, self.output = memory(), memory()
            lib.SSL_set_bio(self.ssl, self.input, self.output)
        self.front = ctypes.c_void_p(lib.BIO_new(ctypes.c_void_p(lib.BIO_f_ssl())))
        lib.BIO_ctrl(self.front, SET_SSL, ctypes.c_long(0), self.ssl)
        self.left = b""
        self.buffer = ctypes.create_string_buffer(1 << 16)
        lib.SSL_set_connect_state(self.ssl)
        while lib.SSL_do_handshake(self.ssl) != 1:
            self.send() or self.receive()
        self.send()

    # Moves what the object wrote to the socket.
    def send(self):
        n = lib.BIO_read(self.output, self.buffer, len(self.buffer))
        if n > 0:
            self.socket.sendall(self.buffer.raw[:n])
        return n > 0

    # Moves what the socket got to the object, as much as it takes.
    def receive(self):
        self.left = self.left or self.socket.recv(1 << 14)
        n = lib.BIO_write(self.input, self.left, len(self.left))
        assert n > 0
        self.left = self.left[n:]

    def write(self, data, unseen):
        while True:
            n = lib.BIO_write(self.front, data, len(data)) if unseen else lib.SSL_write(self.ssl, data, len(data))
            while self.send():
                pass
            if n > 0:
                assert n == len(data)
                return

    def read(self, data, unseen):
        got = b""
        while len(got) < len(data):
            if unseen:
                n = lib.BIO_read(self.front, self.buffer, len(self.buffer))
            else:
                n = lib.SSL_read(self.ssl, self.buffer, len(self.buffer))
            if n > 0:
                got += self.buffer.raw[:n]
            else:
                self.receive()
        assert got == data


conns = [Conn(False), Conn(True)]
for n in range(4):
    print(*[c.socket.getsockname()[1] for c in conns], flush=True)
    sys.stdin.readline()
    for m in range(rounds // 4):
        for c in conns:
            text = b"quarter %d, round %d;" % (n, m) * (1 + m % 5 * 500)
            special = m == rounds // 8
            c.write(text, unseen=special and n == 2)
            c.read(text, unseen=special and n == 1)
