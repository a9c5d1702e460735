"""Objects of an S3-compatible server, which checks each signature."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_bucket
import pytest
from model_bucket import ID, KEY, Bucket
from yarl import URL

from treadle_agent.models.errors import FetchError, NotAllowedError, NotFoundError, RefusedByServerError
from treadle_agent.models.places import Place
from treadle_agent.models.readers import source_key
from treadle_agent.models.s3 import s3_place
from treadle_agent.models.secrets import Secret, SecretError
from treadle_agent.models.sources import shown
from treadle_agent.models.store import ModelStore
from treadle_api.tenant import Model

BODY = bytes(range(256)) * 20_000
DIGEST = hashlib.sha256(BODY).hexdigest()
OBJECT = "s3://models/digits/large v1+a~é.onnx"
Store = Callable[..., ModelStore]


@pytest.fixture
def s3(bucket: Bucket) -> str:
    """The endpoint of a server with one object."""
    assert bucket.put(OBJECT.removeprefix("s3://models/"), BODY) == OBJECT
    return bucket.host


def fetch(store: ModelStore, uri: str = OBJECT, sha256: str | None = DIGEST, secret: str | None = "reader") -> Any:
    try:
        return asyncio.run(store.fetch(Model(uri, sha256, secret)))
    except FetchError as error:
        return error


def keys(host: str, **changed: str) -> dict[str, dict[str, str]]:
    return {"reader": model_bucket.keys(host, **changed)}


def test_an_object_is_fetched_by_the_secrets_keys(s3: str, store: Store) -> None:
    file = fetch(store((s3,), keys(s3)))
    assert file.read_bytes() == BODY
    assert file.name == f"{DIGEST}.onnx"


def test_what_is_missing_of_it_is_asked_for_alone(s3: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / f".partial-{DIGEST}-{source_key(OBJECT, s3)}").write_bytes(BODY[:1000])
    assert fetch(store((s3,), keys(s3))).read_bytes() == BODY
    assert " 206 " in (tmp_path / "versitygw.log").read_text()


def test_other_keys_do_not_let_in(s3: str, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error = fetch(store((s3,), keys(s3, AWS_SECRET_ACCESS_KEY="another-access-key")))
    assert isinstance(error, RefusedByServerError)
    assert str(error).endswith("the server answers 403 Forbidden: does the Secret let in?")
    for secret in (KEY, "another-access-key", "Signature="):
        assert secret not in caplog.text + str(error)


def test_an_object_in_the_cache_is_given_to_who_has_its_keys(s3: str, store: Store, tmp_path: Path) -> None:
    others = keys(s3) | {"stranger": model_bucket.keys(s3, AWS_SECRET_ACCESS_KEY="another-access-key")}
    it = store((s3,), others | {"second": others["reader"]})
    assert fetch(it).read_bytes() == BODY
    assert isinstance(fetch(it, secret="stranger"), RefusedByServerError)
    (tmp_path / "versitygw.log").write_text("")
    assert fetch(it, secret="second").read_bytes() == BODY
    log = (tmp_path / "versitygw.log").read_text()
    assert " 206 " in log
    assert " 200 " not in log


def test_an_object_that_is_not_there(s3: str, store: Store) -> None:
    assert isinstance(fetch(store((s3,), keys(s3)), "s3://models/none.onnx"), NotFoundError)


def test_an_endpoint_that_is_not_listed_is_not_asked(s3: str, store: Store, tmp_path: Path) -> None:
    error = fetch(store(("models.example",), keys(s3)))
    assert isinstance(error, NotAllowedError)
    assert f"models may not come from {s3}" in str(error)
    assert "GET" not in (tmp_path / "versitygw.log").read_text()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"AWS_ACCESS_KEY_ID": ""}, "Secret reader lacks the key AWS_ACCESS_KEY_ID, which s3 needs: add it"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "Secret reader lacks the key AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ENDPOINT_URL": "http://s3.example"}, "key AWS_ENDPOINT_URL of Secret reader must be https://HOST"),
        ({"AWS_ENDPOINT_URL": "s3.example"}, "key AWS_ENDPOINT_URL of Secret reader must be https://HOST"),
    ],
)
def test_a_secret_that_is_none_for_s3(store: Store, changed: dict[str, str], message: str) -> None:
    error = fetch(store(("s3.example",), keys("s3.example", **changed)))
    assert isinstance(error, SecretError)
    assert message in str(error)


@pytest.mark.parametrize(
    ("uri", "region", "url"),
    [
        ("s3://models/a/b.onnx", "", "https://models.s3.us-east-1.amazonaws.com/a/b.onnx"),
        ("s3://models/a b", "eu-central-1", "https://models.s3.eu-central-1.amazonaws.com/a%20b"),
        ("s3://models.example/a", "eu-west-1", "https://s3.eu-west-1.amazonaws.com/models.example/a"),
    ],
)
def test_where_aws_has_an_object(uri: str, region: str, url: str) -> None:
    values = {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": KEY, "AWS_SESSION_TOKEN": "for-a-while"}
    if region:
        values["AWS_REGION"] = region
    place = s3_place(uri, Secret("reader", {key: value.encode() for key, value in values.items()}))
    assert shown(place.url) == url
    assert f"/{region or 'us-east-1'}/s3/aws4_request" in place.url.query["X-Amz-Credential"]
    assert place.url.query["X-Amz-Security-Token"] == "for-a-while"
    assert "amz" not in repr(place).lower()


def test_what_anybody_may_have_is_asked_for_without_a_signature() -> None:
    assert s3_place("s3://models/a b", None) == Place(
        URL("https://s3.us-east-1.amazonaws.com/models/a%20b", encoded=True)
    )


def test_a_bucket_that_nobody_can_have() -> None:
    values = {"AWS_ACCESS_KEY_ID": ID.encode(), "AWS_SECRET_ACCESS_KEY": KEY.encode()}
    with pytest.raises(RefusedByServerError, match="s3://a/b: invalid bucket name"):
        s3_place("s3://a/b", Secret("reader", values))
