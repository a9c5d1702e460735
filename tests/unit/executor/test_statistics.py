from __future__ import annotations

from treadle_agent.executor.statistics import OTHER, SIGNATURES, Document


def test_clients_that_choose_shapes_do_not_make_the_document_grow_for_ever() -> None:
    document = Document("host", "space-time")
    for number in range(2 * SIGNATURES):
        document.launched([(f"Relu[{number}]", 1e-6)], 2)
    document.launched([("Relu[0]", 1e-6)], 2)
    assert len(document.signatures) == SIGNATURES + 1
    assert document.signatures[OTHER].launches == SIGNATURES
    assert document.signatures["Relu[0]"].launches == 2
    assert sum(one.problems for one in document.signatures.values()) == document.problems
