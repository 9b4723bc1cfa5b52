# Calls libssl itself on one connection, and is killed within a call that writes. Arguments: the port of a server by
# TLS, which sends back what it gets; the kind; the path of libssl. Kinds:
#   socket  behind the send
#   large   behind the third send, of a call that makes more: two records of 16384 bytes and one of the rest
#   pair    when a pair of BIOs has passed on the first record of two
#   memory  behind the write to a BIO in memory, of which nothing was sent
#   closed  not killed: closes by close_notify, through BIOs in memory
import ctypes
import os
import signal
import socket
import sys
import time

port, kind = int(sys.argv[1]), sys.argv[2]
lib = ctypes.CDLL(sys.argv[3])
for name in "TLS_client_method", "SSL_CTX_new", "SSL_new", "SSL_get_wbio", "BIO_new", "BIO_s_mem":
    getattr(lib, name).restype = ctypes.c_void_p
context = ctypes.c_void_p(lib.SSL_CTX_new(ctypes.c_void_p(lib.TLS_client_method())))
tls = ctypes.c_void_p(lib.SSL_new(context))
plain = socket.create_connection(("127.0.0.1", port))
into, out = ctypes.c_void_p(), ctypes.c_void_p()
buffer = ctypes.create_string_buffer(1 << 16)
WRITTEN = 0x83  # BIO_CB_WRITE | BIO_CB_RETURN
callback = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t,
                            ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_void_p)

if kind in ("socket", "large"):
    lib.SSL_set_fd(tls, plain.fileno())
elif kind == "pair":
    inside, size = ctypes.c_void_p(), ctypes.c_size_t(1000)
    assert lib.BIO_new_bio_pair(ctypes.byref(inside), size, ctypes.byref(into), size) == 1
    lib.SSL_set_bio(tls, inside, inside)
    out = into
else:
    into, out = (ctypes.c_void_p(lib.BIO_new(ctypes.c_void_p(lib.BIO_s_mem()))) for _ in range(2))
    lib.SSL_set_bio(tls, into, out)
lib.SSL_set_connect_state(tls)
sent, left = 0, b""


# Moves ciphertext between the BIOs and the socket.
def move(receive):
    global sent, left
    n = lib.BIO_read(out, buffer, len(buffer)) if out else 0
    if n > 0:
        plain.sendall(buffer.raw[:n])
        sent += n
    elif into and receive:
        left = left or plain.recv(1 << 14)
        n = lib.BIO_write(into, left, len(left))
        left = left[n:]


def call(function, *arguments):
    n = function(tls, *arguments)
    while n <= 0:
        move(True)
        n = function(tls, *arguments)
    move(False)
    return n


# A close resets the connection because of what is unread, and the server loses what it has not received by then.
def die():
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)


writes = 0


@callback
def written(bio, operation, data, length, number, large, returned, processed):
    global writes
    if operation == WRITTEN:
        writes += 1
        if writes == (3 if kind == "large" else 1):
            die()
    return returned


call(lib.SSL_do_handshake)
for n in range(5):
    text = b"text %d;" % n * 20
    assert call(lib.SSL_write, text, len(text)) == len(text)
    got = 0
    while got < len(text):
        got += call(lib.SSL_read, buffer, len(buffer))
if kind == "closed":
    lib.SSL_shutdown(tls)
    move(False)
    sys.exit()
text = b"abc" * 100 if kind in ("socket", "memory") else b"defgh" * 8000
if kind == "pair":
    sent = 0
    while sent < 16384 + 100:
        assert lib.SSL_write(tls, text, len(text)) <= 0
        move(False)
    die()
lib.BIO_set_callback_ex(ctypes.c_void_p(lib.SSL_get_wbio(tls)), written)
lib.SSL_write(tls, text, len(text))
