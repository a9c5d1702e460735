"""RNN, GRU and LSTM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]


def small(draw: Draw, low: int = 1, high: int = 5) -> int:
    return draw(st.integers(low, high))


GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FUNCTIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}
WITH_ALPHA = {"LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu", "Affine"}
WITH_BETA = {"ScaledTanh", "HardSigmoid", "Affine"}
LISTED = (
    "Relu Tanh Sigmoid Affine LeakyRelu ThresholdedRelu ScaledTanh HardSigmoid Elu Softsign Softplus".split()  # noqa: SIM905
)


def _recurrent(op: str, case: Any, draw: Draw) -> Any:
    steps, batch, size = small(draw, 1, 6), small(draw, 1, 3), small(draw, 1, 40)
    hidden = draw(st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 31, 32, 33, 64])))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    ways = 2 if direction == "bidirectional" else 1
    gates = GATES[op]
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    plain = draw(st.booleans())
    if op == "GRU":
        attributes["linear_before_reset"] = int(draw(st.booleans()))
    if not plain:
        if draw(st.booleans()):
            attributes["clip"] = 0.7
        if op == "LSTM" and draw(st.booleans()):
            attributes["input_forget"] = 1
        if draw(st.booleans()):
            names = [draw(st.sampled_from(LISTED)) for _ in range(FUNCTIONS[op] * ways)]
            attributes["activations"] = names
            alphas = [0.3 + 0.1 * i for i, name in enumerate(names) if name in WITH_ALPHA]
            betas = [0.6 + 0.1 * i for i, name in enumerate(names) if name in WITH_BETA]
            attributes |= {"activation_alpha": alphas} if alphas else {}
            attributes |= {"activation_beta": betas} if betas else {}
    state = (ways, batch, hidden)
    optional = st.booleans()
    shapes: list[tuple[int, ...] | None] = [
        (steps, batch, size),
        (ways, gates * hidden, size),
        (ways, gates * hidden, hidden),
        (ways, 2 * gates * hidden) if draw(optional) else None,
        None if plain or not draw(optional) else (batch,),
        state if draw(optional) else None,
    ]
    if op == "LSTM":
        shapes.append(state if draw(optional) else None)
        shapes.append((ways, 3 * hidden) if not plain and draw(optional) else None)
    results = 3 if op == "LSTM" else 2
    wanted = draw(st.lists(optional, min_size=results, max_size=results).filter(any))
    while not wanted[-1]:
        wanted.pop()
    return case(
        op,
        draw(st.sampled_from([11, 14, 22])),
        shapes,
        attributes,
        tuple(wanted),
        lengths={4: steps},
        scale=0.1 if attributes.get("activations") else 0.6,  # those that are not bounded must not overflow
        batch_axes={0: 1, 4: 0, 5: 1, 6: 1},
    )


def _rnn(case: Any, draw: Draw) -> Any:
    return _recurrent("RNN", case, draw)


def _gru(case: Any, draw: Draw) -> Any:
    return _recurrent("GRU", case, draw)


def _lstm(case: Any, draw: Draw) -> Any:
    return _recurrent("LSTM", case, draw)


@pytest.mark.usefixtures("budget")
@pytest.mark.parametrize("make", [_rnn, _gru, _lstm])
def test_it_keeps_the_promise(make: Any, promise: Any) -> None:
    promise(make)
