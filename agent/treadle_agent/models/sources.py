"""Where models may come from: the hosts and folders that an administrator lists, and what no list allows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path

from yarl import URL

from treadle_agent.models.errors import NotAllowedError, RefusedByServerError

HOST = re.compile(r"((\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")

# What a machine has of its own, wherever it is mounted: a Pod's token is in the first.
_OWN = tuple(Path(path) for path in ("/var/run/secrets", "/run/secrets", "/proc", "/sys", "/dev", "/etc", "/root"))
_TRANSLATED = IPv6Network("64:ff9b::/96")  # IPv4 addresses behind NAT64 (RFC 6052)


@dataclass(frozen=True, slots=True)
class Sources:
    """What is allowed; None allows all.

    Attributes:
        hosts: ``HOST``, ``HOST:PORT`` or ``*.DOMAIN``, in lower case; without a port, 443 is meant.
        folders: With files of models in them, or below.
        own: Files of the agent's that no list allows, beside a machine's own.
    """

    hosts: tuple[str, ...] | None = None
    folders: tuple[Path, ...] | None = None
    own: tuple[Path, ...] = ()

    def check_host(self, url: URL) -> None:
        """Whether a model may be asked for there.

        Raises:
            NotAllowedError: the host is not listed, or it is not to be asked by https.
        """
        if url.scheme != "https":
            raise NotAllowedError(f"{shown(url)} is not https, by which alone models come")
        if self.hosts is None or self.lists(url):
            return
        listed = ", ".join(self.hosts) or "none"
        raise NotAllowedError(
            f"models may not come from {place_of(url)}: put the model on a host that is allowed ({listed}), or have "
            "the administrator add this one to the agents' --model-hosts (the chart's agent.models.hosts)"
        )

    def check_redirect(self, source: URL, target: URL) -> None:
        """Whether a server may point there: to https, not to another host by an address that is not public.

        What another host's name resolves to is checked when it is connected to.

        Raises:
            RefusedByServerError: it may not.
        """
        if target.scheme != "https":
            raise RefusedByServerError(f"{shown(source)} points to {shown(target)}, which is not https")
        if not self.trusts(source, target) and not is_public_host(target.host or ""):
            raise RefusedByServerError(f"{shown(source)} points to {shown(target)}, which is no public address")

    def trusts(self, source: URL, target: URL) -> bool:
        """Whether `target`'s host may have any address but a link-local one: it is the one asked first, or listed."""
        return place_of(source) == place_of(target) or (self.hosts is not None and self.lists(target))

    def lists(self, url: URL) -> bool:
        """Whether a host is on the list."""
        host, port = _host(url), url.port
        return any(_matches(pattern, host, port) for pattern in self.hosts or ())

    def check_file(self, path: Path) -> Path:
        """The file that a path leads to, all links followed; blocks for a moment.

        Raises:
            NotAllowedError: it is in no folder that is listed, or it is the agent's own.
            OSError: it cannot be looked for.
        """
        if self.folders is None:
            return path
        found = path.resolve()
        allowed = [folder.resolve() for folder in self.folders]
        if not _within(found, allowed) or _within(found, (own.resolve() for own in (*_OWN, *self.own))):
            listed = ", ".join(str(folder) for folder in self.folders) or "none"
            raise NotAllowedError(
                f"{path} is in no folder with models: put the model into one that is ({listed}), or have the "
                "administrator mount another into the agents and list it in --model-folders (the chart's "
                "agent.volumeMounts)"
            )
        return found


def shown(url: URL) -> str:
    """A URL as messages have it: what could let somebody in is left out."""
    return str(url.with_user(None).with_query(None).with_fragment(None))


def place_of(url: URL) -> str:
    """HOST, or HOST:PORT where that is not the usual one."""
    host = _host(url)
    host = f"[{host}]" if ":" in host else host
    return host if url.port in (None, 443) else f"{host}:{url.port}"


def is_public_host(host: str) -> bool:
    """Whether a host is a name, whose addresses are checked when they are known, or a public address."""
    try:
        address = ip_address(host)
    except ValueError:
        return True
    return is_public(address)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is anybody's on the internet: not private, link-local, loopback or reserved."""
    if isinstance(address, IPv6Address):
        if (inner := address.ipv4_mapped or address.sixtofour) is not None:
            return is_public(inner)
        if address in _TRANSLATED:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast


def is_link_local(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is of this link alone, as those of clouds' metadata servers are: no model comes from there."""
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (inner or address).is_link_local


def _host(url: URL) -> str:
    return (url.host or "").lower().rstrip(".")


def _matches(pattern: str, host: str, port: int | None) -> bool:
    name, _, wanted = pattern.rpartition(":") if re.search(r":[0-9]+$", pattern) else (pattern, "", "443")
    if port != int(wanted):
        return False
    name = name.strip("[]")
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _within(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
