"""Servers of HTTP (OAT-CTL) and RTSP that mean harm: part of hostile.py.

Each connection is answered in one of the ways of KINDS. An RTSP server has one way for ever; the device takes one after
the other, but tells properly who it is and which input it has, so that it is asked for more.
"""
import json
import socket
import threading
import time
from collections import Counter

# What is sent to one connection at most, and how long: the other side is to give up before.
OCTETS, SECONDS = 64 << 20, 30
# Of the device, which is asked at this port.
HTTP_PORT = 8080
RTSP_PORT = 8554
DEVICE = {"id": "trap-0bad", "name": "Trap", "host": "trap-0bad"}
STREAMS = [{"id": "trap-0bad/rx/in", "name": "In", "direction": "rx", "channels": 2}]


def garbage(dice, head):
    """No protocol at all."""
    yield dice.randbytes(3000)


def stranger(dice, head):
    """Another protocol, which waits."""
    yield b"SSH-2.0-OpenSSH_9.2p1\r\n"
    yield None


def headers(dice, head):
    """A head without an end."""
    yield head
    while True:
        yield b"X-%d: %s\r\n" % (dice.randrange(10**6), b"x" * 1000)


def line(dice, head):
    """A header without an end."""
    yield head + b"X: "
    while True:
        yield b"x" * 4096


def body(dice, head):
    """A body of a tebioctet, and much of it."""
    yield head + b"Content-Length: 1099511627776\r\n\r\n"
    while True:
        yield b"[" * 4096


def drip(dice, head):
    """An answer of which an octet comes now and then."""
    for octet in head + b"Content-Length: 400\r\n\r\n" + b" " * 400:
        yield bytes([octet])
        time.sleep(0.1)


def short(dice, head):
    """Hangs up in the middle."""
    yield head + b"Content-Length: 400\r\n\r\n{"


def again(dice, head):
    """Sends to itself for ever, after lengths that are none."""
    yield head.replace(b"200 OK", b"302 Found") + b"Location: /\r\nContent-Length: -1\r\nContent-Length: 9e9\r\n\r\n"


def interleaved(dice, head):
    """Media of RTSP on the same connection, without an end."""
    while True:
        yield b"$\x01\x0f\xfc" + dice.randbytes(4092)


def pushed(dice, head):
    """Descriptions that nobody asked for and nobody can read."""
    count = 0
    while True:
        count += 1
        text = dice.randbytes(30000)
        yield b"ANNOUNCE rtsp://trap/ RTSP/1.0\r\nCSeq: %d\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % (
            count, len(text)) + text


HTTP = [garbage, stranger, headers, line, body, drip, short, again]
RTSP = [garbage, stranger, headers, line, body, drip, short, again, interleaved, pushed]


def read_head(connection):
    head = b""
    while b"\r\n\r\n" not in head and len(head) < 65536:
        more = connection.recv(4096)
        if not more:
            break
        head += more
    return head


class Trap:
    """The servers; `served` counts the answers of each way, by protocol."""

    def __init__(self, own, dice):
        self.own, self.dice, self.served, self.lock = own, dice, Counter(), threading.Lock()
        self.asked = 0
        self.listen(HTTP_PORT, self.http)
        for number, kind in enumerate(RTSP):
            self.listen(RTSP_PORT + number, lambda connection, kind=kind: self.rtsp(connection, kind))

    def services(self):
        """What DNS-SD is to name: service, instance and port."""
        rtsp = [("_rtsp", f"A trap of {kind.__name__}", RTSP_PORT + number) for number, kind in enumerate(RTSP)]
        return [("_http", "A trap", HTTP_PORT)] + rtsp

    def listen(self, port, answer):
        listener = socket.create_server((self.own, port), backlog=16)

        def serve(connection):
            try:
                connection.settimeout(SECONDS)
                answer(connection)
            except OSError:
                pass  # whoever is fed this hangs up, as it should
            finally:
                connection.close()

        def accept():
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=[connection], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def http(self, connection):
        path = read_head(connection).split(b" ")[1:2]
        proper = {b"device": DEVICE, b"streams": STREAMS}.get(path[0].rsplit(b"/")[-1] if path else b"")
        if proper is not None:
            text = json.dumps(proper).encode()
            return connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        with self.lock:
            kind, self.asked = HTTP[self.asked % len(HTTP)], self.asked + 1
        self.answer(connection, kind, "http", b"HTTP/1.1 200 OK\r\n")

    def rtsp(self, connection, kind):
        numbers = [line for line in read_head(connection).split(b"\r\n") if line.lower().startswith(b"cseq:")]
        head = b"RTSP/1.0 200 OK\r\n%s\r\nContent-Type: application/sdp\r\n" % b"".join(numbers[:1])
        self.answer(connection, kind, "rtsp", head)

    def answer(self, connection, kind, protocol, head):
        name = f"{protocol}-{kind.__name__}"
        with self.lock:
            self.served[name] += 1
            if self.served[name] == 1:
                print(f"served {name}", flush=True)
        begun, sent = time.monotonic(), 0
        for octets in kind(self.dice, head):
            if octets is None:
                connection.recv(4096)
                continue
            connection.sendall(octets)
            sent += len(octets)
            if sent > OCTETS or time.monotonic() - begun > SECONDS:
                return
