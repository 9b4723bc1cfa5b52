# Talks to two servers that send back what they get, one by TLS and one in the clear, from one
# thread, in every manner in which a program can use the library. Arguments: the port of either
# server, and how many rounds. Waits for a line on stdin before each quarter of the rounds, and keeps
# all connections throughout the third.
import random
import select
import socket
import ssl
import sys

tls, plain, rounds = map(int, sys.argv[1:4])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
random.seed(rounds)


def connect(port):
    s = socket.create_connection(("127.0.0.1", port))
    return context.wrap_socket(s) if port == tls else s


def message(n):
    number = b"%08d" % random.randrange(10**8)
    return (number * (n // 8 + 1))[:n]


def blocking(c, data):
    c.setblocking(True)
    c.sendall(data)
    got = b""
    while len(got) < len(data):
        got += c.recv(random.choice([1, 7, 100, 5000, 1 << 20]) if len(got) < 2000 else 1 << 20)
    assert got == data


# Writes and reads as far as they go, and repeats what wants to wait, while the other direction goes on.
def mixed(c, data):
    c.setblocking(False)
    sent, got = 0, b""
    while len(got) < len(data):
        want = []
        if sent < len(data):
            try:
                sent += c.send(data[sent:sent + 100000])
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                want = [c]
        try:
            got += c.recv(1 << 16)
            continue
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        select.select([c], want, [], 10)
    assert got == data


# Ends a connection: at once, by close_notify and its answer, or by the FIN of one direction.
def end(c):
    c.setblocking(True)
    how = random.randrange(4)
    if how == 1 and isinstance(c, ssl.SSLSocket):
        c = c.unwrap()
    elif how == 2:
        blocking(c, message(100))
        socket.socket.shutdown(c, socket.SHUT_WR)
    elif how == 3:
        c.sendall(message(30))  # the reply is left unread
    c.close()


ports = [tls, tls, plain]
conns = [connect(port) for port in ports]
for n in range(rounds):
    if n % (rounds // 4) == 0:
        print(*[c.getsockname()[1] for c in conns], flush=True)
        sys.stdin.readline()
    i = random.randrange(3)
    size = random.choice([1, 20, 200, 1000, 3000, 16384, 16385, 70000] + [400000] * (n % 20 == 0))
    random.choice([blocking, mixed])(conns[i], message(size))
    if n % 15 == 0 and n // (rounds // 4) != 2:
        i = n // 15 % 3
        end(conns[i])
        conns[i] = connect(ports[i])
for c in conns:
    end(c)
