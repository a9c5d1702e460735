"""Sends a tenant of the digits examples requests at a steady rate, and tells how they were answered.

    python examples/load.py http://127.0.0.1:8000 under-load --rate 1200 --seconds 30

The rate does not slow down when the answers do, as independent clients' would not. Addresses of this machine only.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter

import numpy as np
from sklearn.datasets import load_digits

from treadle.load.process import LoadProcess
from treadle.load.records import LOST, UNANSWERED
from treadle.load.schedule import Phase, poisson
from treadle.load.targets import infer_target

DISTINCT = 50  # requests
WORDS = {200: "answered", 503: "refused: could not be answered in time", 429: "refused: too many", LOST: "lost"}


async def send(url: str, tenant: str, rate: float, rows: int, seconds: float) -> None:
    """Send the load, and print a line a second."""
    images = (load_digits().data / 16).astype(np.float32)
    picked = np.random.default_rng(0).integers(len(images), size=(DISTINCT, rows))
    target = infer_target(tenant, [{"image": images[rows]} for rows in picked], binary=True)
    schedule = poisson([Phase(seconds, rate)], seed=1)
    async with LoadProcess([target], schedule, url) as load:
        answers: Counter[str] = Counter()
        told = 1
        async for batch in load:
            for record in batch.records:
                status = int(record["status"])
                word = "not answered" if status == UNANSWERED else WORDS.get(status, f"HTTP {status}")
                answers[f"{word} by {batch.tiers[record['tier']]}" if status == 200 else word] += 1
            while batch.records.size and batch.records["finished"].max() >= told:
                print(
                    f"{told:4d} s  " + ", ".join(f"{count} {word}" for word, count in sorted(answers.items())),
                    flush=True,
                )
                answers.clear()
                told += 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the server or agent, on this machine")
    parser.add_argument("tenant", help="NAME, or NAME.NAMESPACE")
    parser.add_argument("--rate", type=float, default=300.0, help="requests per second (%(default)g)")
    parser.add_argument("--rows", type=int, default=32, help="images in a request (%(default)d)")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long (%(default)g)")
    given = parser.parse_args()
    asyncio.run(send(given.url, given.tenant, given.rate, given.rows, given.seconds))
