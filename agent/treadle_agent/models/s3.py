"""S3: where an object is, and the signature that lets in. botocore signs; that is got as any file by https."""

from __future__ import annotations

from urllib.parse import quote

from yarl import URL

from treadle_agent.models.errors import NotAllowedError
from treadle_agent.models.places import Place
from treadle_agent.models.secrets import Secret, SecretError

_REGION = "us-east-1"  # where S3 itself takes those to be that name none


def s3_place(uri: str, secret: Secret | None) -> Place:
    """Of ``s3://BUCKET/KEY``, signed anew each time: a signature is good for a quarter of an hour.

    The endpoint is the Secret's ``AWS_ENDPOINT_URL``, or AWS's of its ``AWS_REGION``. Without a Secret the object must
    be public.

    Raises:
        SecretError: the Secret lacks a key, or its endpoint is none.
        NotAllowedError: the package that signs is missing.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    region = (secret.text("AWS_REGION") if secret is not None else None) or _REGION
    endpoint = secret.text("AWS_ENDPOINT_URL") if secret is not None else None
    url = _url(bucket, quote(key, safe="/~"), region, endpoint)
    if secret is None:
        return Place(url)
    if url.scheme != "https" or not url.host:
        raise SecretError(f"key AWS_ENDPOINT_URL of Secret {secret.name} must be https://HOST or https://HOST:PORT")
    return Place(url, _signature(url, region, secret))


def _url(bucket: str, key: str, region: str, endpoint: str | None) -> URL:
    if endpoint:
        return URL(f"{endpoint.rstrip('/')}/{bucket}/{key}", encoded=True)
    host = f"s3.{region}.amazonaws.com"
    if "." in bucket:  # no certificate is for such a host
        return URL(f"https://{host}/{bucket}/{key}", encoded=True)
    return URL(f"https://{bucket}.{host}/{key}", encoded=True)


def _signature(url: URL, region: str, secret: Secret) -> dict[str, str]:
    try:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
    except ImportError:
        raise NotAllowedError("s3:// needs a package that is missing here: pip install 'treadle[models]'") from None
    credentials = Credentials(
        secret.required("AWS_ACCESS_KEY_ID", "s3"),
        secret.required("AWS_SECRET_ACCESS_KEY", "s3"),
        secret.text("AWS_SESSION_TOKEN"),
    )
    request = AWSRequest("GET", str(url))
    S3SigV4Auth(credentials, "s3", region).add_auth(request)
    return dict(request.headers.items())
