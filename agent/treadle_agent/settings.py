"""Limits of the node agent. Sizes are in bytes, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelStoreSettings:
    """What fetching a model may cost.

    Attributes:
        most_bytes: Largest model file.
        concurrent_downloads: Files downloaded at a time.
        silence: How long a server may send nothing before the download is given up.
        patience: How long a download may take beyond what its bytes so far need at `least_rate`; so each is over
            after patience + most_bytes / least_rate.
        least_rate: Bytes a second that a server must send.
        redirects: Redirects followed for one model.
        attempts: Tries for one model, as long as the server cannot be reached or breaks off.
        backoff: Wait before the second try; it doubles from one to the next.
    """

    most_bytes: int = 1 << 30
    concurrent_downloads: int = 8
    silence: float = 30.0
    patience: float = 60.0
    least_rate: int = 1 << 17
    redirects: int = 5
    attempts: int = 3
    backoff: float = 0.5


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """What models, and what is made of them, may take of the disk.

    Attributes:
        most_bytes: Beyond it what no tenant uses is cleared. Loads under way may exceed it until the next look.
        look_seconds: Between looks, as long as something changes.
        abandoned_seconds: What has been in the making for so long without a change has lost its maker.
    """

    most_bytes: int = 20 << 30
    look_seconds: float = 10.0
    abandoned_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class NodeAgentSettings:
    """How tenants are brought up.

    Attributes:
        concurrent_loads: Tenants loaded at a time: each costs a loader process, and measurements on the device.
        long_load: Seconds after which a tenant with further tiers to compile lets others be loaded first.
        fetch_patience: How long the node's readiness waits for models that are fetched; longer, and the node takes
            requests for its other tenants.
        queue_limit: Requests of one tenant that may wait; one more is answered 429.
    """

    concurrent_loads: int = 2
    long_load: float = 10.0
    fetch_patience: float = 60.0
    queue_limit: int = 1024
