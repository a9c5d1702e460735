"""The bearer token of a request, and whose turn it is to ask about one. Pure."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

OWN_BITS = 64  # of an IPv6 address: who has one address of a subnet may have all of it (RFC 4291, section 2.5.1)

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1


def read_token(authorization: str | None) -> str:
    """What stands where a token should, in a request's `Authorization`; "" where there is none."""
    if authorization is None or authorization[:7].lower() != "bearer ":
        return ""
    return authorization[7:].strip(" ")


def is_token(text: str) -> bool:
    """Whether it can be one: nobody is asked about what cannot."""
    return _TOKEN.fullmatch(text) is not None


def challenge(code: str = "") -> str:
    """The `WWW-Authenticate` of a 401; `code` is RFC 6750's, section 3.1: "" where there was no token."""
    return 'Bearer realm="treadle"' + (f', error="{code}"' if code else "")


def owner(peer: str) -> str:
    """Who takes a turn at asking for a token that calls from this address: an IPv4 address, or an IPv6 subnet."""
    try:
        address = ip_address(peer)
    except ValueError:  # no address, which a Unix socket has
        return peer
    if not isinstance(address, IPv6Address):
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> OWN_BITS << OWN_BITS))
