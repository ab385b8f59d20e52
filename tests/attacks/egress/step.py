# What every attack in here begins with: the proxy of this step, spoken to by hand.
import os, socket, ssl, struct, sys, time

PROXY = ("127.0.0.1", 9128)


def opened():
    s = socket.create_connection(PROXY)
    s.settimeout(30)
    return s


def heard(s):
    said = b""
    try:
        while True:
            more = s.recv(65536)
            if not more:
                break
            said += more
    except OSError:
        pass
    return said


def status(said):
    return said.split(b" ")[1].decode() if said.startswith(b"HTTP/1.1 ") else "closed"


def head(s):
    said = b""
    while b"\r\n\r\n" not in said:
        more = s.recv(1)
        if not more:
            break
        said += more
    return said


def tunnel(to):
    s = opened()
    s.sendall(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (to.encode(), to.encode()))
    return s, status(head(s))


def connect(to):
    return tunnel(to)[1]


def plain(text):
    s = opened()
    try:
        s.sendall(text.replace("\n", "\r\n").encode())
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # It has had enough of it.
    return heard(s)


def get(url, host):
    return status(plain("GET %s HTTP/1.1\nHost: %s\nConnection: close\n\n" % (url, host)))


def socks(host, port, command=1):
    s = opened()
    s.sendall(b"\x05\x01\x00")
    s.recv(2)
    name = host.encode()
    s.sendall(b"\x05" + bytes([command, 0, 3, len(name)]) + name + struct.pack(">H", port))
    return s.recv(10)[1]


def hello(name):
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def tls(to, name, piece=None):
    s, answer = tunnel(to)
    if answer != "200":
        return answer
    words = hello(name)
    try:
        for at in range(0, len(words), piece or len(words)):
            s.sendall(words[at : at + (piece or len(words))])
            if piece:
                time.sleep(0.0005)
    except OSError:
        pass
    return "answered" if heard(s) else "closed"


def attempt(kind, family, to, data=b"x"):
    try:
        s = socket.socket(family, kind)
        s.settimeout(5)
        s.connect(to)
        s.send(data)
        return "sent"
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)


def show(name, *answers):
    print(name + ":", *answers, flush=True)
