"""What `treadle serve` tells the person in front of it: one block for each tenant that is served or refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console

from treadle.manifests import Source
from treadle_agent.executor.gateway import Served
from treadle_agent.frontend.catalog import AmbiguousTenantError, Catalog
from treadle_agent.frontend.tensors import DATATYPES
from treadle_agent.node_events import Event, Leaking, Loading, Refused, Removed, Serving
from treadle_agent.program.artifact import TensorSpec
from treadle_api.tenant import Tenant, in_words

SLOW_SECONDS = 2.0  # a load that takes longer is spoken of
_FEW_ELEMENTS = 8  # a request with more is not written out, but made by a line of Python


class ServeConsole:
    """Prints events as lines; on a terminal, what is being loaded shows below them meanwhile."""

    def __init__(self, console: Console, catalog: Catalog, url: str) -> None:
        self._console = console
        self._catalog = catalog
        self._url = url
        self._sources: Mapping[str, Source] = {}
        self._steps: dict[str, str] = {}
        self._refused: dict[str, Refused] = {}
        self._served: dict[str, int] = {}  # the version that was said to be served
        self._seen_loading: dict[str, float] = {}
        self._told_slow: set[str] = set()
        self._status = console.status("")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._status.stop()

    def say(self, text: str) -> None:
        """Print as it stands."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def set_sources(self, sources: Mapping[str, Source]) -> None:
        """Where each tenant stands, for the refusals to come."""
        self._sources = sources

    def say_slow(self, now: float) -> None:
        """One line for each load that has been seen under way for `SLOW_SECONDS`; `now` in seconds of any clock."""
        self._seen_loading = {key: self._seen_loading.get(key, now) for key in self._steps}
        self._told_slow &= self._steps.keys()
        for key, since in self._seen_loading.items():
            if now - since >= SLOW_SECONDS and key not in self._told_slow:
                self._told_slow.add(key)
                self.say(f"still loading {key}: {self._steps[key]} …")

    def event(self, event: Event) -> None:
        """What the node agent reports."""
        match event:
            case Loading(key, step):
                self._steps[key] = step
            case Serving(tenant, served, _):
                self._steps.pop(tenant.key, None)
                self._refused.pop(tenant.key, None)
                if self._served.get(tenant.key) == served.version.id:
                    self.say(f"updated {tenant.key}: nothing had to be loaded for it")
                else:
                    self._served[tenant.key] = served.version.id
                    self.say(self._serving(tenant, served))
            case Refused(key):
                self._steps.pop(key, None)
                if self._refused.get(key) != event:  # what was refused is tried again at every change of any file
                    self._refused[key] = event
                    self._say_refused(event)
            case Removed(key):
                self._steps.pop(key, None)
                self._refused.pop(key, None)
                self._served.pop(key, None)
                self.say(f"removed {key}")
            case Leaking(key, reason):
                self.say(f"warning: an old version of {key} could not be unloaded: {reason}")
        self._show_steps()

    def _say_refused(self, refused: Refused) -> None:
        source = f"{self._sources[refused.key]}: " if refused.key in self._sources else ""
        after = "; its previous version goes on" if refused.previous else ""
        after += "; will be tried again" if refused.temporary else ""
        self.say(f"refused {refused.key}: {source}{refused.field}: {refused.reason}{after}")

    def _show_steps(self) -> None:
        if not self._console.is_terminal:
            return
        if self._steps:
            key, step = next(iter(self._steps.items()))
            more = f" (and {len(self._steps) - 1} more)" if len(self._steps) > 1 else ""
            self._status.update(f"{key}: {step}{more}")
            self._status.start()
        else:
            self._status.stop()

    def _serving(self, tenant: Tenant, served: Served) -> str:
        version = served.version
        url = f"{self._url}/v2/models/{self._shortest_name(tenant.key)}"
        lines = [f"serving {tenant.key}  deadline {version.deadline:g} s"]
        for index, (tier, how, seconds) in enumerate(
            zip(version.tiers, served.implementations, served.service_seconds, strict=True)
        ):
            pinned = "  pinned" if index == version.pinned else ""
            # Without shapes nothing can be measured; the first request that has them brings both.
            measured = (
                f"{how}  {seconds * 1e3:.3g} ms a row" if seconds > 0 else "measured once a request gives its shapes"
            )
            lines.append(f"  tier {tier.name}  {tier.accuracy:g} %{in_words(tier.precision)}  {measured}{pinned}")
        lines += [
            f"  tier {tier.name}  {tier.accuracy:g} %  not served: below minAccuracy {tenant.slo.min_accuracy:g}"
            for tier in tenant.tiers
            if tier not in tenant.served_tiers
        ]
        return "\n".join([*lines, f"  {url}", f"  try: {_curl(url, served.inputs)}"])

    def _shortest_name(self, key: str) -> str:
        name = key.partition(".")[0]
        try:
            return name if self._catalog.find(name).key == key else key
        except AmbiguousTenantError:
            return key


def _curl(url: str, inputs: Sequence[TensorSpec]) -> str:
    """A line for a shell that gets an answer from a tenant, or its metadata where sizes are the client's to choose."""
    shapes = [[1 if axis == 0 and dim < 0 else dim for axis, dim in enumerate(spec.shape)] for spec in inputs]
    if any(dim < 0 for shape in shapes for dim in shape):
        return f"curl -s {url}"
    tensors = [
        {"name": spec.name, "shape": shape, "datatype": DATATYPES[spec.dtype].name}
        for spec, shape in zip(inputs, shapes, strict=True)
    ]
    sizes = [math.prod(shape) for shape in shapes]
    if sum(sizes) <= _FEW_ELEMENTS:
        whole = [{**tensor, "data": [0] * size} for tensor, size in zip(tensors, sizes, strict=True)]
        return f"curl -s {url}/infer -d '{json.dumps({'inputs': whole})}'"
    with_data = "[{**t, 'data': [0] * n} for t, n in zip(tensors, sizes)]"
    code = f"import json; tensors = {tensors!r}; sizes = {sizes!r}; print(json.dumps({{'inputs': {with_data}}}))"
    return f'python3 -c "{code}" | curl -s {url}/infer -d @-'
