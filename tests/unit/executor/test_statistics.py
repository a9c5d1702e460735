from __future__ import annotations

from treadle_agent.executor.statistics import OTHER, SIGNATURES, Document


def test_clients_that_choose_shapes_do_not_make_the_document_grow_for_ever() -> None:
    document = Document("host", "space-time")
    for number in range(2 * SIGNATURES):
        document.launched([(f"Relu[{number}]", 1e-6, 1)], 2)
    document.launched([("Relu[0]", 1e-6, 1)], 2)
    assert len(document.signatures) == SIGNATURES + 1
    assert document.signatures[OTHER].launches == SIGNATURES
    assert document.signatures["Relu[0]"].launches == 2
    assert sum(one.problems for one in document.signatures.values()) == document.problems


def test_problems_that_take_several_launches_are_not_counted_as_merged() -> None:
    document = Document("host", "space-time")
    document.launched([("Gemm", 1e-3, 3), ("Relu", 1e-4, 1), ("Gemm", 1e-3, 2)], 3)
    assert (document.launches, document.problems) == (6, 9)
    assert document.merge_factor == 1.5
    assert document.sizes == {1: 3 + 1, 2: 1, 3: 1}
    assert (document.signatures["Gemm"].launches, document.signatures["Gemm"].latency.count) == (5, 2)
