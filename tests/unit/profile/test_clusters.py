"""Clusters of shapes: every product once, none padded beyond the limit, and as few as pairs can be joined to."""

from collections import Counter
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from treadle.profile.clusters import Cluster, clusters
from treadle_agent.executor.gpu_model import Product

sizes = st.integers(1, 64)
products = st.dictionaries(st.builds(Product, sizes, sizes, sizes), st.integers(1, 9), min_size=1, max_size=8)
limits = st.floats(0, 0.9)


@given(products, limits)
def test_every_product_is_in_one_cluster_as_often_as_it_occurs(counted, limit):
    found = Counter()
    for cluster in clusters(counted, limit):
        found.update(cluster.members)
    assert found == counted


@given(products, limits)
def test_no_cluster_is_padded_beyond_the_limit_and_no_two_could_be_joined(counted, limit):
    found = clusters(counted, limit)
    for cluster in found:
        assert -1e-12 <= cluster.padding <= max(limit, 1e-12)
        assert all(one.m <= cluster.shape.m and one.n <= cluster.shape.n and one.k <= cluster.shape.k
                   for one in cluster.members)  # fmt: skip
    assert all(one.joined(other).padding > limit for one, other in combinations(found, 2))


def test_padding_is_a_share_of_the_arithmetic():
    small, large = Product(8, 8, 8), Product(8, 8, 16)
    both = Cluster(small, {small: 3}).joined(Cluster(large, {large: 1}))
    assert both.shape == large
    assert both.count == 4
    assert both.padding == 1 - (3 * 8 + 16) / (4 * 16)
    assert [one.shape for one in clusters({small: 3, large: 1}, 0.37)] == [small, large]
    assert [one.shape for one in clusters({small: 3, large: 1}, 0.38)] == [large]


def test_the_cheapest_pair_is_joined_first():
    near, middle, far = Product(10, 10, 10), Product(10, 10, 11), Product(10, 10, 14)
    found = clusters({near: 1, middle: 1, far: 1}, 0.1)
    assert sorted(sorted(one.k for one in cluster.members) for cluster in found) == [[10, 11], [14]]
