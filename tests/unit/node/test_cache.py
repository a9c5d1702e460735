"""The cache folder stays within its size, and nothing leaves it that a process uses."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from treadle_agent.cache import Cache, CacheError, open_cache
from treadle_agent.executor.tuner import Profile
from treadle_agent.executor.tuning_cache import TuningCache
from treadle_agent.models.notes import FOLDER, Notes
from treadle_agent.models.readers import Reading
from treadle_agent.policy.clearing import CacheEntry, to_clear
from treadle_agent.settings import CacheSettings
from treadle_api.units import Bytes, Seconds

SMALL = CacheSettings(most_bytes=250, look_seconds=0.01)

HOLDER = """
import asyncio, sys
from pathlib import Path
from treadle_agent.cache import open_cache

async def run():
    async with open_cache(Path(sys.argv[1])) as cache:
        assert await cache.hold(Path(sys.argv[2]))
        print("held", flush=True)
        await asyncio.sleep(60)

asyncio.run(run())
"""


def entry(name: str, size: int, used: float, *, in_use: bool = False) -> CacheEntry:
    return CacheEntry(name, Bytes(size), Seconds(used), in_use)


@pytest.mark.parametrize(("most", "names"), [(600, ""), (599, "c"), (400, "c"), (399, "ca"), (0, "cab")], ids=str)
def test_the_least_recently_used_goes_until_the_rest_fits(most: int, names: str) -> None:
    entries = [entry("a", 100, 2.0), entry("b", 100, 3.0), entry("c", 200, 1.0), entry("d", 200, 0.0, in_use=True)]
    assert "".join(one.name for one in to_clear(entries, Bytes(most))) == names


def model(folder: Path, name: str, used: float) -> Path:
    """A hundred bytes, last used so long ago."""
    path = folder / "models" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(100))
    os.utime(path, (time.time() - used,) * 2)
    return path


def artifact(folder: Path, name: str, used: float) -> Path:
    path = folder / "artifacts" / name
    path.mkdir(parents=True)
    for part in ("artifact.json", "weights.bin"):
        (path / part).write_bytes(bytes(50))
    os.utime(path, (time.time() - used,) * 2)
    return path


def measurement(folder: Path, number: int, used: float) -> Path:
    """What the executor keeps, last used so long ago."""
    known = set((folder / "tuning").glob("*"))
    TuningCache(folder / "tuning", ("host",)).recall((str(number),), 0, lambda: Profile(((1, 0.0),), (1.0,)))
    (path,) = set((folder / "tuning").glob("*")) - known
    os.utime(path, (time.time() - used,) * 2)
    return path


def left(folder: Path) -> set[str]:
    return {path.name for kind in ("models", "artifacts", "tuning") for path in (folder / kind).glob("*")}


def in_cache(folder: Path, body: Callable[[Cache], Awaitable[None]], settings: CacheSettings = SMALL) -> None:
    async def run() -> None:
        async with open_cache(folder, settings) as cache:
            await body(cache)

    asyncio.run(run())


async def until(folder: Path, names: set[str]) -> None:
    """Wait for what is left, and see that it stays so."""
    for _ in range(1000):
        if left(folder) == names:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)  # some looks more
    assert left(folder) == names


def test_what_nobody_uses_is_cleared_and_what_is_used_is_not(tmp_path: Path) -> None:
    used = model(tmp_path, "used", 500.0)
    for name, age in (("oldest", 400.0), ("newest", 100.0)):
        model(tmp_path, name, age)
    compiled = artifact(tmp_path, "compiled", 300.0)

    async def body(cache: Cache) -> None:
        assert await cache.hold(used)
        await until(tmp_path, {"used", "newest"})
        assert not compiled.exists()
        assert await cache.hold(used)
        cache.release(used)
        model(tmp_path, "another", 50.0)
        assert await cache.hold(model(tmp_path, "last", 0.0))
        await until(tmp_path, {"used", "last"})
        cache.release(used)
        model(tmp_path, "more", 0.0)
        await until(tmp_path, {"last", "more"})

    in_cache(tmp_path, body)


def test_what_is_gone_cannot_be_held_and_what_lies_elsewhere_need_not_be(tmp_path: Path) -> None:
    gone = model(tmp_path, "gone", 0.0)
    gone.unlink()

    async def body(cache: Cache) -> None:
        assert not await cache.hold(gone)
        assert await cache.hold(tmp_path / "own.onnx")
        cache.release(tmp_path / "own.onnx")

    in_cache(tmp_path, body)


def test_holding_makes_an_entry_the_most_recently_used(tmp_path: Path) -> None:
    old = model(tmp_path, "old", 500.0)
    model(tmp_path, "new", 1.0)

    async def body(cache: Cache) -> None:
        assert await cache.hold(old)
        cache.release(old)
        model(tmp_path, "more", 0.0)
        await until(tmp_path, {"old", "more"})

    in_cache(tmp_path, body)


def test_what_another_process_uses_stays_until_that_is_killed(tmp_path: Path) -> None:
    theirs = model(tmp_path, "theirs", 500.0)
    command = [sys.executable, "-c", HOLDER, str(tmp_path), str(theirs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        os.utime(theirs, (1.0, 1.0))
        for name in ("b", "c"):
            model(tmp_path, name, 10.0)
        ours = model(tmp_path, "ours", 0.0)

        async def body(cache: Cache) -> None:
            await until(tmp_path, {"theirs", "ours"})
            holder.kill()
            holder.wait()
            model(tmp_path, "d", 0.0)
            assert await cache.hold(ours)
            await until(tmp_path, {"d", "ours"})

        in_cache(tmp_path, body)
    assert list((tmp_path / "users").iterdir()) == []


def test_who_has_read_a_model_is_known_as_long_as_it_is_there(tmp_path: Path) -> None:
    """However long ago that was: notes go with their models, by their own hand."""
    reading = Reading("reader", "source", "models.example")
    notes = Notes(tmp_path / "models" / FOLDER, lambda digest: tmp_path / "models" / digest)
    notes.add("used", reading)
    used = model(tmp_path, "used", 500.0)
    for path in (tmp_path / "models" / FOLDER, tmp_path / "models" / FOLDER / "used"):
        os.utime(path, (time.time() - 7200.0,) * 2)
    for name in ("b", "c"):
        model(tmp_path, name, 10.0)

    async def body(cache: Cache) -> None:
        assert await cache.hold(used)
        assert await cache.hold(model(tmp_path, "last", 0.0))
        await until(tmp_path, {FOLDER, "used", "last"})
        assert notes.read("used") == [reading]

    in_cache(tmp_path, body)


def test_a_folder_that_is_removed_meanwhile_is_begun_anew(tmp_path: Path) -> None:
    async def body(cache: Cache) -> None:
        shutil.rmtree(tmp_path)
        assert not await cache.hold(tmp_path / "models" / "used")
        assert await cache.hold(model(tmp_path, "used", 500.0))
        for name in ("b", "c"):
            model(tmp_path, name, 10.0)
        assert await cache.hold(model(tmp_path, "last", 0.0))
        await until(tmp_path, {"used", "last"})

    in_cache(tmp_path, body)


def test_what_another_process_cleared_first_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = [model(tmp_path, name, age) for name, age in (("a", 30.0), ("b", 20.0))]
    for name in ("c", "d"):
        model(tmp_path, name, 10.0)
    in_use = Cache._in_use

    def slow(cache: Cache) -> frozenset[str]:
        gone[0].unlink(missing_ok=True)
        return in_use(cache)

    monkeypatch.setattr(Cache, "_in_use", slow)

    async def body(_: Cache) -> None:
        await until(tmp_path, {"c", "d"})

    in_cache(tmp_path, body)


def test_measurements_count_and_go_by_their_last_use(tmp_path: Path) -> None:
    paths = [measurement(tmp_path, number, 500.0 - number) for number in range(3)]
    size = paths[0].stat().st_size
    measured_again: list[int] = []

    async def body(cache: Cache) -> None:
        tuning = TuningCache(cache.tuning, ("host",))
        tuning.recall(("0",), 0, pytest.fail)
        assert await cache.hold(model(tmp_path, "new", 0.0))
        await until(tmp_path, {paths[0].name, paths[2].name, "new"})
        tuning.recall(("1",), 0, lambda: measured_again.append(1))
        assert measured_again == [1]

    in_cache(tmp_path, body, CacheSettings(most_bytes=100 + size * 2, look_seconds=0.01))


def test_what_is_being_made_stays_unless_its_maker_is_long_gone(tmp_path: Path) -> None:
    for name, age in ((".download-now", 5.0), (".download-killed", 7200.0), ("done", 0.0)):
        model(tmp_path, name, age)

    async def body(_: Cache) -> None:
        await until(tmp_path, {".download-now", "done"})

    in_cache(tmp_path, body)


def test_a_cache_that_is_full_of_what_is_used_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [model(tmp_path, name, 0.0) for name in "abc"]

    async def body(cache: Cache) -> None:
        for _ in range(2):
            for path in paths:
                assert await cache.hold(path)
            await until(tmp_path, {"a", "b", "c"})

    with caplog.at_level(logging.WARNING, "treadle_agent.cache"):
        in_cache(tmp_path, body)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "models in use take 0 MiB" in caplog.text


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def body(_: Cache) -> None:
        raise AssertionError

    with pytest.raises(CacheError, match=rf"the cache folder {tmp_path}/file/x cannot be written: Not a directory; ma"):
        in_cache(tmp_path / "file" / "x", body)
