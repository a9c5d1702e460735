"""Callers' reviews, over the operator's connection to the API server."""

from __future__ import annotations

from treadle_callers.callers import ReviewError
from treadle_callers.reviews import ReviewKind, Reviews
from treadle_operator.kube.client import Json, KubeClient
from treadle_operator.kube.errors import ApiError
from treadle_operator.kube.kinds import Kind


def reviews_by(client: KubeClient) -> Reviews:
    """Reviews that this client creates."""

    async def create(kind: ReviewKind, body: Json) -> Json:
        try:
            return await client.review(Kind(kind.name, kind.api_version, kind.plural, namespaced=False), body)
        except ApiError as error:
            raise ReviewError(str(error)) from None

    return Reviews(create)
