"""What the operator tells of itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from treadle_operator.snapshot import Cause

# Not a move: a tenant's first place, or one more.
_NO_MOVE = frozenset({Cause.ADMITTED, Cause.SCALED_UP})


class OperatorMetrics:
    """One process's figures, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "treadle_operator_api_requests",
            "Requests to the API server, by verb and HTTP status; code 0 is no answer (watches are not counted)",
            ["verb", "code"],
            registry=self.registry,
        )
        self._errors = Counter(
            "treadle_operator_api_errors",
            "Requests to the API server that were refused or not answered; 404, 409 and 410 are part of the work",
            ["verb", "code"],
            registry=self.registry,
        )
        self.queue = Gauge(
            "treadle_operator_queue_depth", "Tenants and nodes with changes to be written", registry=self.registry
        )
        self.backing_off = Gauge(
            "treadle_operator_backing_off", "Tenants and nodes whose last change failed", registry=self.registry
        )
        self.plan_seconds = Histogram(
            "treadle_operator_plan_seconds",
            "Time to plan, and to find what is left to change",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 5.0),
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "treadle_operator_reconcile_seconds",
            "Time to write one tenant's or node's changes",
            buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
            registry=self.registry,
        )
        self.plan_errors = Counter(
            "treadle_operator_plan_errors", "Plans that failed by a fault of the operator's", registry=self.registry
        )
        self.leader = Gauge("treadle_operator_leader", "1 while this process leads", registry=self.registry)
        self.objects = Gauge("treadle_operator_objects", "Objects known, by kind", ["kind"], registry=self.registry)
        self.missed = Counter(
            "treadle_operator_watch_missed",
            "Changes that a watch did not tell, by kind",
            ["kind"],
            registry=self.registry,
        )
        self._moves = Counter(
            "treadle_operator_moves", "Tenants put on another device, by reason", ["reason"], registry=self.registry
        )
        self._placements = Counter(
            "treadle_operator_placements",
            "Tenants put on a device for the first time or on one more, by reason",
            ["reason"],
            registry=self.registry,
        )
        for cause in Cause:
            (self._placements if cause in _NO_MOVE else self._moves).labels(str(cause))

    def requested(self, verb: str, code: int) -> None:
        """A request was answered; `code` 0: it was not."""
        self._requests.labels(verb, str(code)).inc()
        if not 200 <= code < 300 and code not in (404, 409, 410):
            self._errors.labels(verb, str(code)).inc()

    def placed(self, cause: Cause) -> None:
        """A replica was created."""
        (self._placements if cause in _NO_MOVE else self._moves).labels(str(cause)).inc()

    def exposition(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)
