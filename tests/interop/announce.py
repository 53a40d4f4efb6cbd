#!/usr/bin/env python3
"""Announces by SAP (RFC 2974), without our code: one announcement for each line of standard input.

usage: announce.py ADDRESS

A line is a JSON string, the description; or a list of two, the address that is to be the sender's and the description.
"""
import json
import socket
import struct
import sys

GROUP = ("239.255.255.255", 9875)


def main():
    own = sys.argv[1]
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for each in (plain, raw):
        each.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
    print("ready", flush=True)
    for number, line in enumerate(sys.stdin):
        wanted = json.loads(line)
        source, text = (own, wanted) if isinstance(wanted, str) else wanted
        head = struct.pack(">BBH4s", 0x20, 0, (number + 1) & 0xFFFF, socket.inet_aton(source))
        payload = head + b"application/sdp\0" + text.encode()
        if source == own:
            plain.sendto(payload, GROUP)
            continue
        udp = struct.pack(">HHHH", GROUP[1], GROUP[1], 8 + len(payload), 0) + payload
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 32, 17, 0,
                         socket.inet_aton(source), socket.inet_aton(GROUP[0]))
        raw.sendto(ip + udp, GROUP)


main()
