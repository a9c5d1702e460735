"""Ports nobody else takes, and the address other nodes would know this machine by."""

from __future__ import annotations

import errno
import fcntl
import random
import socket
import struct
from pathlib import Path

LOOPBACK = "127.0.0.1"
SIOCGIFADDR = 0x8915  # linux/sockios.h


def free_port(host: str = LOOPBACK) -> int:
    """A port that nobody listens on.

    It lies below the range that the kernel gives to outgoing connections, so that none of those takes it before the
    caller binds it, nor while a restarted server is away.
    """
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = range(min(16_000, first_ephemeral - 4_000), first_ephemeral)
    for port in random.SystemRandom().sample(candidates, 200):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port
    raise OSError(errno.EADDRINUSE, f"200 ports below {first_ephemeral} are all in use")


def own_address() -> str:
    """An IPv4 address of this machine that is not loopback: EndpointSlices refuse loopback.

    Raises:
        LookupError: it has none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, interface in socket.if_nameindex():
            request = struct.pack("256s", interface.encode())
            try:
                answer = fcntl.ioctl(probe, SIOCGIFADDR, request)
            except OSError:  # an interface without an IPv4 address
                continue
            address = socket.inet_ntoa(answer[20:24])
            if not address.startswith(("127.", "169.254.")):
                return address
    raise LookupError("this machine has no IPv4 address but loopback; the agents' address must be another")
