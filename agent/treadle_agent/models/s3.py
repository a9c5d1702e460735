"""S3: where an object is, and the signature that lets in. Its client signs; the transport gets it, as any file."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote, urlsplit

from yarl import URL

from treadle_agent.models.errors import NotAllowedError, RefusedByServerError
from treadle_agent.models.places import Place
from treadle_agent.models.secrets import Secret, SecretError

_REGION = "us-east-1"
_GOOD_FOR = timedelta(minutes=15)  # a signature is, for a download to begin


def s3_endpoint(secret: Secret | None) -> str:
    """Where buckets are: the Secret's ``AWS_ENDPOINT_URL``, or AWS's of its ``AWS_REGION``; raises SecretError."""
    if secret is None:
        return f"s3.{_REGION}.amazonaws.com"
    url = secret.text("AWS_ENDPOINT_URL") or f"https://s3.{secret.text('AWS_REGION') or _REGION}.amazonaws.com"
    endpoint = urlsplit(url)
    if endpoint.scheme != "https" or not endpoint.hostname or endpoint.path.strip("/"):
        raise SecretError(f"key AWS_ENDPOINT_URL of Secret {secret.name} must be https://HOST or https://HOST:PORT")
    return endpoint.netloc


def s3_place(uri: str, secret: Secret | None) -> Place:
    """Of ``s3://BUCKET/KEY``; asks nobody.

    Without a Secret the object is asked for as anybody may.

    Raises:
        SecretError: the Secret lacks a key, or its endpoint is none.
        RefusedByServerError: no bucket can have that name.
        NotAllowedError: the package that signs is missing.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    endpoint = s3_endpoint(secret)
    if secret is None:
        return Place(URL(f"https://{endpoint}/{quote(bucket)}/{quote(key, safe='/~')}", encoded=True))
    try:
        from minio import Minio
    except ImportError:
        raise NotAllowedError("s3:// needs a package that is missing here: pip install 'treadle[models]'") from None
    who, key_of_it = secret.required("AWS_ACCESS_KEY_ID", "s3"), secret.required("AWS_SECRET_ACCESS_KEY", "s3")
    try:
        region = secret.text("AWS_REGION") or _REGION
        client = Minio(endpoint, who, key_of_it, secret.text("AWS_SESSION_TOKEN"), region=region)
        return Place(URL(client.presigned_get_object(bucket, key, expires=_GOOD_FOR), encoded=True), signed=True)
    except ValueError as error:  # of a bucket's name, or a region's: none of them has a secret in it
        raise RefusedByServerError(f"{uri}: {error}") from None
