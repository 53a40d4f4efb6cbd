#!/usr/bin/env python3
"""A device that means harm, or is broken: sends what no device should, without our code.

usage: hostile.py PLAN.json

The plan: {"own": address, "seed": number, "attacks": [{"kind": name, "rate": datagrams a second, ...}]}. Sends until
SIGINT or SIGTERM, then prints how many datagrams of each kind left. The same seed sends the same octets.
"""
import json
import random
import signal
import socket
import struct
import sys
import time
import zlib

sys.dont_write_bytecode = True  # it would be left among the sources

import hostile_server  # noqa: E402

SAP = ("239.255.255.255", 9875)
EVENT, GENERAL = ("224.0.1.129", 319), ("224.0.1.129", 320)
MDNS = ("224.0.0.251", 5353)


class Done(Exception):
    pass


def stop(*_):
    raise Done


def udp(own):
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
    out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 32)
    out.bind((own, 0))
    return out


def spoofed(source, destination, payload):
    """An IPv4 datagram in which another host is the sender. The kernel fills in checksum and id."""
    (address, port) = destination
    header = struct.pack(">HHHH", 9875, port, 8 + len(payload), 0)
    total = 20 + len(header) + len(payload)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, total, 0, 0, 32, 17, 0, socket.inet_aton(source), socket.inet_aton(address))
    return ip + header + payload


def rtp(payload_type, sequence, stamp, ssrc, payload):
    return struct.pack(">BBHII", 0x80, payload_type, sequence & 0xFFFF, stamp & 0xFFFFFFFF, ssrc) + payload


def mutate(dice, octets):
    octets = bytearray(octets)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(octets))
        octets[at] = dice.choice([0, 255, octets[at] ^ (1 << dice.randrange(8)), dice.randrange(256)])
    if dice.random() < 0.3:
        del octets[dice.randrange(len(octets)):]
    return bytes(octets)


def sap(source, text, delete=False, identity=1):
    head = 0x24 if delete else 0x20
    return struct.pack(">BBH4s", head, 0, identity & 0xFFFF, socket.inet_aton(source)) + b"application/sdp\0" + text


def ptp(dice, kind, length, identity=None, domain=0):
    """A PTPv2 message of `kind` whose body is random but whose header is right."""
    identity = identity or dice.randbytes(8)
    flags = 0x0200 if kind == 0 else 0
    control = {0: 0, 8: 2, 9: 3}.get(kind, 5)
    head = struct.pack(">BBHBBHqI8sHHBb", kind, 2, length, domain, 0, flags, 0, 0, identity, 1, dice.randrange(65536), control, 0)
    return head + dice.randbytes(length - len(head))


def domain(*labels):
    """A name of DNS (RFC 1035 3.1)."""
    return b"".join(bytes([len(label)]) + label for label in (text.encode()[:63] for text in labels)) + b"\0"


def record(owner, kind, lifetime, data):
    """A resource record of class IN that replaces others, except of pointers, which are shared (RFC 6762 10.2)."""
    return owner + struct.pack(">HHIH", kind, 1 if kind == 12 else 0x8001, lifetime, len(data)) + data


class Attack:
    def __init__(self, plan, attack):
        self.plan, self.attack = plan, attack
        self.dice = random.Random(f'{plan["seed"]} {attack["kind"]}')
        self.rate, self.sent, self.count = attack["rate"], 0, 0
        self.make = getattr(self, attack["kind"].replace("-", "_"))
        self.clients = []
        self.trap = hostile_server.Trap(plan["own"], self.dice) if attack["kind"] == "servers" else None

    def to(self):
        return (self.attack["group"], 5004)

    # Datagrams: (destination, payload) or (source, destination, payload) when the sender is spoofed.

    def rtp_sender(self):
        """A well-formed sender: of the wrong payload type, channels or packet time, or the second in a group."""
        frames, channels = self.attack.get("frames", 48), self.attack.get("channels", 2)
        self.count += 1
        payload = self.dice.randbytes(frames * channels * 3)
        kind = self.attack.get("payload_type", 98)
        return self.to(), rtp(kind, self.count, self.count * frames, 0xBAD0000 + channels, payload)

    def rtp_garbage(self):
        dice, self.count = self.dice, self.count + 1
        good = rtp(98, self.count, self.count * 48, dice.getrandbits(32), dice.randbytes(288))
        return self.to(), dice.choice([
            lambda: good[:dice.randrange(0, 12)],
            lambda: good[:dice.randrange(12, len(good))],
            lambda: mutate(dice, good),
            lambda: good + dice.randbytes(dice.randrange(1, 1100)),
            lambda: good + dice.randbytes(9000),
            lambda: bytes([0x8F]) + good[1:],
            lambda: bytes([0xA0]) + good[1:-1] + b"\xff",
            lambda: bytes([0x90]) + good[1:12] + b"\0\0\xff\xff" + good[16:],
            lambda: b"\x80\xc8" + good[2:],
            lambda: dice.randbytes(dice.randrange(1, 1400)),
        ])()

    def sap_texts(self):
        """Announces descriptions, one after the other."""
        texts = self.attack["texts"]
        self.count += 1
        number = self.count % len(texts)
        return SAP, sap(self.plan["own"], texts[number].encode(), identity=number + 1)

    def sap_garbage(self):
        dice = self.dice
        good = sap(self.plan["own"], self.attack["text"].encode(), identity=dice.getrandbits(16))
        bomb = zlib.compress(b"v=0\r\n" + b"a" * 4_000_000)
        return SAP, dice.choice([
            lambda: good[:dice.randrange(0, 24)],
            lambda: good[:dice.randrange(24, len(good))],
            lambda: mutate(dice, good),
            lambda: good + dice.randbytes(30000),
            lambda: bytes([0x22]) + good[1:],
            lambda: b"\x21\0" + good[2:8] + bomb,
            lambda: bytes([0x20, 255]) + good[2:],
            lambda: dice.randbytes(dice.randrange(1, 1400)),
        ])()

    def sap_forged(self):
        """The text of another host's stream, as if it had changed: sent from our own address."""
        self.count += 1
        text = self.dice.choice(self.attack["texts"]).replace("VERSION", str(1000 + self.count))
        return SAP, sap(self.attack["owner"], text.encode(), identity=self.count)

    def sap_deletion(self):
        """Deletes another host's stream: from our address, and from its own."""
        self.count += 1
        octets = sap(self.attack["owner"], self.attack["text"].encode(), True, self.dice.getrandbits(16))
        return (SAP, octets) if self.count % 2 else (self.attack["owner"], SAP, octets)

    def sap_flood(self):
        """A new stream with every datagram, from a new host."""
        self.count += 1
        source = f"10.77.{self.dice.randrange(1, 255)}.{self.dice.randrange(1, 255)}"
        group = f"239.{self.dice.randrange(70, 250)}.{self.dice.randrange(256)}.{self.dice.randrange(1, 255)}"
        text = (f"v=0\r\no=- {5_000_000 + self.count} 1 IN IP4 {source}\r\ns=Flood {self.count}\r\nc=IN IP4 {group}/32\r\n"
                "t=0 0\r\nm=audio 5004 RTP/AVP 98\r\na=rtpmap:98 L24/48000/2\r\na=ptime:1\r\n")
        return source, SAP, sap(source, text.encode(), identity=self.count)

    def oat_sub(self):
        """Asks for a stream in the name of others (OAT-SUB/1): well-formed, mutated, with a cookie that was never given."""
        dice = self.dice
        cookie = dice.choice([0, 0, 0, dice.getrandbits(64)])
        good = struct.pack(">4sBBHIIQHH20x", b"OATS", 1, dice.choice([1, 1, 1, 2, 3, 4, 5]), dice.randrange(4), 0,
                           dice.getrandbits(32), cookie, dice.choice([0, 30, 65535]), dice.choice([0, 50064, 9]))
        to = (self.attack["to"], self.attack["port"])
        return dice.choice(self.attack["sources"]), to, dice.choice([
            lambda: good,
            lambda: good,
            lambda: mutate(dice, good),
            lambda: good[:4] + b"\2" + good[5:],
            lambda: good + dice.randbytes(1300),
            lambda: good[:dice.randrange(48)],
        ])()

    def dns_sd(self):
        """Sessions and devices that are not there, at hosts that are not, here, or far away; mutated, and taken back."""
        dice, self.count = self.dice, self.count + 1
        text = dice.choice(["Flood", "\u202edoolF", "Fl\x1b[2Jood", "Fl\0od", "Fl/oo.d", "Fl\u2028ood"])
        text = dice.choice([f"{text} {self.count}", "Everybody's"])
        near = self.plan["own"].rpartition(".")[0] + f".{dice.randrange(1, 255)}"
        address = dice.choice([near, near, self.plan["own"], "127.0.0.1", "203.0.113.9", "224.0.0.251", "0.0.0.0"])
        host = domain(dice.choice([f"flood-{self.count}", "mixtee-01b7"]), "local")
        service, special = dice.choice([("_rtsp", "_ravenna_session"), ("_http", None)])
        kind = domain(service, "_tcp", "local")
        instance = domain(text, service, "_tcp", "local")
        types = [kind, domain(special, "_sub", service, "_tcp", "local")] if special else [kind]
        says = b"\x05oat=1\x0cpath=/oat/v1" + b"".join(b"\xff" + dice.randbytes(255) for _ in range(dice.randrange(3)))
        lifetime = dice.choice([120, 120, 120, 4500, 0xFFFFFFFF, 0])
        records = [record(owner, 12, lifetime, instance) for owner in types] + [
            record(instance, 33, lifetime, struct.pack(">HHH", 0, 0, dice.choice([0, 9, 80, 554, 8854])) + host),
            record(instance, 16, lifetime, says),
            record(host, 1, lifetime, socket.inet_aton(address)),
        ]
        good = struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)
        return MDNS, dice.choice([lambda: good, lambda: good, lambda: good, lambda: mutate(dice, good)])()

    def servers(self):
        """Names, properly, servers that are there and answer nonsense."""
        services = self.trap.services()
        self.count += 1
        (service, text, port) = services[self.count % len(services)]
        host = domain("trap-0bad", "local")
        instance = domain(text, service, "_tcp", "local")
        types = [domain(service, "_tcp", "local")]
        if service == "_rtsp":
            types.append(domain("_ravenna_session", "_sub", service, "_tcp", "local"))
        records = [record(owner, 12, 4500, instance) for owner in types] + [
            record(instance, 33, 4500, struct.pack(">HHH", 0, 0, port) + host),
            record(instance, 16, 4500, b"\x05oat=1\x0cpath=/oat/v1"),
            record(host, 1, 4500, socket.inet_aton(self.plan["own"])),
        ]
        return MDNS, struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)

    def rtsp_clients(self):
        """Asks a server of RTSP nonsense, half a question, one slowly, or nothing; the last two hundred stay connected."""
        dice, self.count = self.dice, self.count + 1
        good = (f"DESCRIBE rtsp://{self.attack['to']}:{self.attack['port']}/by-name/{self.attack['name']} RTSP/1.0\r\n"
                f"CSeq: {self.count}\r\nAccept: application/sdp\r\n\r\n").encode()
        says = dice.choice([
            lambda: b"",
            lambda: good,
            lambda: good[:dice.randrange(len(good))],
            lambda: mutate(dice, good),
            lambda: good * 400,
            lambda: good[:-2] + b"X: " + b"x" * 60_000,
            lambda: good.replace(b"DESCRIBE", b"ANNOUNCE")[:-2] + b"Content-Length: 4294967295\r\n\r\nv=0\r\n",
            lambda: b"SETUP" + good[8:],
            lambda: b"$\0\xff\xff" + dice.randbytes(1000),
            lambda: dice.randbytes(dice.randrange(1, 4000)),
        ])()
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex((self.attack["to"], self.attack["port"]))
        self.clients.append([client, says])
        for entry in self.clients[-20:]:
            try:
                # A drop at a time, or all of it.
                sent = entry[0].send(entry[1][:dice.choice([1, 100_000])]) if entry[1] else 0
                entry[1] = entry[1][sent:]
            except OSError:
                pass  # not connected yet, full, or turned away
        if len(self.clients) > 200:
            self.clients.pop(0)[0].close()

    def ptp_garbage(self):
        """Truncated, mutated and unknown messages of ever new clocks; Announce, too, but never twice of one clock."""
        dice = self.dice
        kind, length, to = dice.choice([(0, 44, EVENT), (1, 44, EVENT), (8, 44, GENERAL), (9, 54, GENERAL),
                                        (11, 64, GENERAL), (12, 60, GENERAL), (13, 48, GENERAL), (5, 44, EVENT)])
        good = ptp(dice, kind, length, domain=dice.choice([0, 0, 0, 1, 127, 255]))
        return to, dice.choice([
            lambda: good,
            lambda: good[:dice.randrange(0, length)],
            lambda: mutate(dice, good),
            lambda: good + dice.randbytes(1300),
            lambda: bytes([good[0], dice.choice([0, 1, 3, 15])]) + good[2:],
            lambda: good[:2] + struct.pack(">H", dice.randrange(65536)) + good[4:],
            lambda: dice.randbytes(dice.randrange(1, 1400)),
        ])()

    def ptp_spoofed(self):
        """In the leader's name: Sync and Follow_Up at random times, delay answers that nobody asked for."""
        kind, length, to = self.dice.choice([(0, 44, EVENT), (8, 44, GENERAL), (9, 54, GENERAL)])
        return to, ptp(self.dice, kind, length, bytes.fromhex(self.attack["leader"]))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    attacks = [Attack(plan, attack) for attack in plan["attacks"]]
    plain = udp(plan["own"])
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(plan["own"]))
    print("attacking", flush=True)
    start = time.monotonic()
    try:
        while True:
            passed = time.monotonic() - start
            for attack in attacks:
                due = int(passed * attack.rate)
                if due - attack.sent > attack.rate:
                    attack.sent = due  # held up for a second: what was missed is not made up for
                while attack.sent < due:
                    attack.sent += 1
                    made = attack.make()
                    if made is None:
                        continue  # it has connections of its own
                    try:
                        if len(made) == 3:
                            raw.sendto(spoofed(*made), made[1])
                        else:
                            plain.sendto(made[1], made[0])
                    except OSError:
                        pass  # a full queue loses one, as a network does
            time.sleep(0.002)
    except Done:
        for attack in attacks:
            print(f'sent {attack.sent} {attack.attack["kind"]}', flush=True)


main()
