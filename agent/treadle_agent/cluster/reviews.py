"""Callers' reviews, over the agent's connection to the API server."""

from __future__ import annotations

from treadle_agent.cluster.errors import KubeError
from treadle_agent.cluster.kube import Json, Kind, KubeClient
from treadle_callers.callers import ReviewError
from treadle_callers.reviews import ReviewKind, Reviews


def reviews_by(client: KubeClient) -> Reviews:
    """Reviews that this client creates."""

    async def create(kind: ReviewKind, body: Json) -> Json:
        try:
            return await client.create(Kind(kind.name, kind.api_version, kind.plural), "", body)
        except KubeError as error:
            raise ReviewError(str(error)) from None

    return Reviews(create)
