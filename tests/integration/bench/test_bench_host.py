"""`treadle bench host` with few small models: the real library, tuner, scheduler and device, and they agree."""

import pytest

from treadle.__main__ import main
from treadle.bench import models
from treadle.bench.host import measure as measuring
from treadle.bench.host.subjects import Subject


@pytest.mark.parametrize("tenants", [1, 4])
def test_every_tenant_answers_as_its_session_does(tenants, monkeypatch):
    monkeypatch.setattr(measuring, "SECONDS", 0.05)
    subject = Subject("small", lambda seed: models.mlp((8, 8, 3), seed=seed).SerializeToString(), (1, 8), tenants, 0.0)
    row = measuring.measure(subject)
    assert row.deviation < 1e-5
    assert row.reached
    assert row.kernel_speed >= row.speed >= row.dispatch_speed > 0
    assert row.implementation in {"merged", "segments"}
    if tenants == 4:
        assert row.implementation == "merged"


def test_a_wrong_answer_is_no_success(monkeypatch):
    def answer(self):
        self.kernel_seconds = self.device_seconds = 1e-9  # quick, and the outputs stay as they were: zero

    monkeypatch.setattr(measuring, "SECONDS", 0.05)
    monkeypatch.setattr(measuring.Dispatcher, "answer", answer)
    subject = Subject("small", lambda seed: models.mlp((8, 8, 3), seed=seed).SerializeToString(), (1, 8), 1, 0.0)
    row = measuring.measure(subject)
    assert row.speed > 1000
    assert not row.reached


def test_no_such_subject(capsys):
    assert main(["bench", "host", "--only", "nothing of that name"]) == 2
    assert "MLP 64-64-10" in capsys.readouterr().err
