# Calls libssl itself, in manners that Python's ssl does not: calls inside calls, on other sockets,
# and objects that are freed and made again. Arguments: the port of a server by TLS and of one in the
# clear, which send back what they get; the number of rounds; the path of libssl.
import ctypes
import socket
import sys

tls, plain, rounds = map(int, sys.argv[1:4])
lib = ctypes.CDLL(sys.argv[4])
for name in "TLS_client_method", "SSL_CTX_new", "SSL_new":
    getattr(lib, name).restype = ctypes.c_void_p
Callback = ctypes.CFUNCTYPE(None, *[ctypes.c_int] * 3, *[ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_void_p] * 2)
context = ctypes.c_void_p(lib.SSL_CTX_new(ctypes.c_void_p(lib.TLS_client_method())))


class Conn:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", tls))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ssl = ctypes.c_void_p(lib.SSL_new(context))
        self.inside = None
        self.callback = Callback(self.called)
        assert lib.SSL_set_fd(self.ssl, self.socket.fileno()) == 1
        assert lib.SSL_connect(self.ssl) == 1
        lib.SSL_set_msg_callback(self.ssl, self.callback)

    def called(self, *_):
        inside, self.inside = self.inside, None
        if inside:
            inside()

    # Writes, and reads the same back, which it may look at before.
    def echo(self, data, peek=False, most=1000):
        assert lib.SSL_write(self.ssl, data, len(data)) == len(data)
        got = b""
        buffer = ctypes.create_string_buffer(most)
        while len(got) < len(data):
            if peek:
                n = lib.SSL_peek(self.ssl, buffer, most)
                assert buffer.raw[:n] == data[len(got):len(got) + n]
            n = lib.SSL_read(self.ssl, buffer, most)
            assert n > 0
            got += buffer.raw[:n]
        assert got == data


a, b = Conn(), Conn()
clear = socket.create_connection(("127.0.0.1", plain))
left = []


# What a callback of a does while a writes or reads: it uses another object, and a socket in the clear.
def inside():
    clear.sendall(b"in the clear")
    clear.recv(100)
    b.echo(b"b, inside a call for a")


for n in range(4):
    print(a.socket.getsockname()[1], flush=True)
    sys.stdin.readline()
    for m in range(rounds // 4):
        a.inside = inside if m % 2 else None
        a.echo(b"a, round %d" % m, peek=m % 3 == 0, most=3 if m % 5 == 0 else 1000)
        b.echo(b"b, round %d" % m)
        if m % 10 == 9:  # the object of b is freed, but its socket stays open; the next one takes its memory
            lib.SSL_free(b.ssl)
            left.append(b.socket)
            b = Conn()
            b.echo(b"b, anew")
