"""Which products could share super-kernels if the smaller ones were padded (Jain et al. 2019, Fig. 7). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from treadle_agent.executor.gpu_model import Product


@dataclass(frozen=True, slots=True)
class Cluster:
    """Products by how often they occur, and the smallest shape that holds them all."""

    shape: Product
    members: Mapping[Product, int]

    @property
    def count(self) -> int:
        """Products, occurrences counted."""
        return sum(self.members.values())

    @property
    def padding(self) -> float:
        """Share of the arithmetic that would be padding, if every product had the cluster's shape."""
        real = sum(product.flops * count for product, count in self.members.items())
        return 1 - real / (self.shape.flops * self.count)

    def joined(self, other: Cluster) -> Cluster:
        """Both in one."""
        shape = Product(*(max(pair) for pair in zip(_sizes(self.shape), _sizes(other.shape), strict=True)))
        return Cluster(shape, {**self.members, **other.members})


def clusters(products: Mapping[Product, int], limit: float) -> Sequence[Cluster]:
    """As few clusters as joining the cheapest pair, again and again, leaves, none with more padding than `limit`.

    Largest first.
    """
    found = [Cluster(product, {product: count}) for product, count in products.items()]
    pairs = {(one, other): found[one].joined(found[other]) for one, other in combinations(range(len(found)), 2)}
    alive = set(range(len(found)))
    while pairs:
        (one, other), joined = min(pairs.items(), key=lambda item: item[1].padding)
        if joined.padding > limit:
            break
        alive -= {one, other}
        pairs = {pair: both for pair, both in pairs.items() if not {one, other} & set(pair)}
        found.append(joined)
        pairs |= {(left, len(found) - 1): found[left].joined(joined) for left in alive}
        alive.add(len(found) - 1)
    return sorted((found[index] for index in alive), key=lambda one: -one.shape.flops * one.count)


def _sizes(product: Product) -> tuple[int, int, int]:
    return product.m, product.n, product.k
