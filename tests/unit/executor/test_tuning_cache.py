"""Measurements kept in files: whatever else lies in the folder, what comes back was measured for what is asked."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from treadle_agent.executor import tuning_cache
from treadle_agent.executor.statistics import Lookups
from treadle_agent.executor.tuner import Profile
from treadle_agent.executor.tuning_cache import Entry, TuningCache

PROFILE = Profile(((1, 1e-4), (8, 3e-4)), (0.0, 0.25, 1.0), (1,), ((0, "16x16", "64x64"),))
OTHER = Profile(((1, 3e-4),), (0.0, 0.5, 1.0))
SHARES = PROFILE.shares
TILES = ((2, "16x16", "16x16"),)
DEVICE = ("host", "kind of processor", "numpy 2.0")
WHAT = ("merged", "a digest")


def recall(folder: Path, profile: Profile | None = OTHER, identity: tuple[str, ...] = DEVICE) -> Profile | None:
    return TuningCache(folder, identity).recall(WHAT, 2, lambda: profile)


def the_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def sealed(path: Path, entry: object) -> None:
    """Write an entry as the cache would, whatever it is."""
    body = msgspec.json.encode(entry)
    path.write_bytes(tuning_cache._checksum(body) + b"\n" + body)


def made_for(path: Path) -> tuple[str, ...]:
    return tuning_cache._decode(path.read_bytes().partition(b"\n")[2]).made_for


def test_what_was_measured_is_found_at_the_next_start(tmp_path: Path) -> None:
    cache = TuningCache(tmp_path / "tuning", DEVICE)
    assert cache.recall(WHAT, 2, lambda: PROFILE) == PROFILE
    assert cache.lookups == Lookups(0, 1)
    again = TuningCache(tmp_path / "tuning", DEVICE)
    assert again.recall(WHAT, 2, pytest.fail) == PROFILE
    assert again.lookups == Lookups(1, 0)


def test_what_is_provisional_is_measured_again(tmp_path: Path) -> None:
    provisional = replace(OTHER, provisional=True)
    assert recall(tmp_path / "tuning", provisional) is provisional
    assert recall(tmp_path / "tuning", OTHER) is OTHER


def test_what_is_worth_no_trial_leaves_no_file(tmp_path: Path) -> None:
    assert recall(tmp_path, None) is None
    assert recall(tmp_path, OTHER) is OTHER


@pytest.mark.parametrize("foreign", [("cuda", *DEVICE[1:]), (*DEVICE[:2], "numpy 2.1"), DEVICE[:2]])
def test_another_device_or_version_measures_for_itself(tmp_path: Path, foreign: tuple[str, ...]) -> None:
    recall(tmp_path, PROFILE, foreign)
    assert recall(tmp_path, OTHER) == OTHER
    assert recall(tmp_path, None, foreign) == PROFILE  # and neither writes over the other's


DAMAGE: dict[str, Callable[[Path, bytes], object]] = {
    "half written": lambda path, whole: path.write_bytes(whole[: len(whole) // 2]),
    "nothing written": lambda path, _: path.write_bytes(b""),
    "one bit": lambda path, whole: path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]),
    "more behind": lambda path, whole: path.write_bytes(whole + whole),
    "no text": lambda path, _: path.write_bytes(b"\xff\n\xfe"),
    "unreadable": lambda path, _: (path.unlink(), path.mkdir()),
    "somebody else's": lambda path, _: sealed(path, Entry((*DEVICE, "another"), PROFILE)),
    "another format": lambda path, _: sealed(path, {"made_for": made_for(path), "profile": PROFILE, "more": 1}),
    "fewer kernels": lambda path, _: sealed(path, Entry(made_for(path), Profile(((1, 1e-4),), (0.0, 1.0)))),
    "shares that fall": lambda path, _: sealed(path, Entry(made_for(path), Profile(((1, 1e-4),), (0.0, 2.0, 1.0)))),
    "time that runs back": lambda path, _: sealed(path, Entry(made_for(path), Profile(((1, -1e-4),), SHARES))),
    "nothing measured": lambda path, _: sealed(path, Entry(made_for(path), Profile((), SHARES))),
    "nobody alone": lambda path, _: sealed(path, Entry(made_for(path), Profile(((8, 1e-4),), SHARES))),
    "one number twice": lambda path, _: sealed(path, Entry(made_for(path), Profile(((1, 1e-4), (1, 2e-4)), SHARES))),
    "more in less": lambda path, _: sealed(path, Entry(made_for(path), Profile(((1, 2e-4), (8, 1e-4)), SHARES))),
    "no number": lambda path, _: sealed(path, Entry(made_for(path), Profile(((1, float("nan")),), SHARES))),
    "a kernel too many": lambda path, _: sealed(path, Entry(made_for(path), Profile(((1, 0.0),), SHARES, (2,)))),
    "a tile too many": lambda path, _: sealed(path, Entry(made_for(path), Profile(((1, 0.0),), SHARES, (), TILES))),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_measured_anew_and_replaced(tmp_path: Path, damage: str) -> None:
    recall(tmp_path, PROFILE)
    path = the_file(tmp_path)
    DAMAGE[damage](path, path.read_bytes())
    assert recall(tmp_path, OTHER) == OTHER
    if path.is_file():
        assert recall(tmp_path, None) == OTHER
        assert the_file(tmp_path) == path


def test_where_nothing_can_be_written_it_is_measured_at_each_start(tmp_path: Path) -> None:
    (tmp_path / "tuning").write_text("a file where the folder should be")
    assert recall(tmp_path / "tuning", PROFILE) == PROFILE
    assert recall(tmp_path / "tuning", OTHER) == OTHER


def test_a_full_disk_keeps_no_half_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "tuning").mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
    try:
        assert recall(tmp_path / "tuning", PROFILE) == PROFILE
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "tuning").iterdir())
    assert recall(tmp_path / "tuning", OTHER) == OTHER


def test_measurements_that_were_used_least_recently_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_cache, "ENTRY_LIMIT", 3)
    cache = TuningCache(tmp_path, DEVICE)
    ages = iter(range(1000, 0, -10))

    def use(name: str, measure: Callable[[], Profile | None] = lambda: PROFILE) -> None:
        known = set(tmp_path.iterdir())
        cache.recall((name,), 2, measure)
        for path in set(tmp_path.iterdir()) - known:
            os.utime(path, (time.time() - next(ages),) * 2)

    for name in "abc":
        use(name)
    use("a", pytest.fail)
    (tmp_path / ".half-written").touch()
    os.utime(tmp_path / ".half-written", (0, 0))
    use("d")
    assert len(list(tmp_path.iterdir())) == 3
    for name in "acd":
        use(name, pytest.fail)


WRITER = """
import sys
from pathlib import Path
from treadle_agent.executor.tuner import Profile
from treadle_agent.executor.tuning_cache import TuningCache
folder, mine = Path(sys.argv[1]), float(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(300):
    for key in "abc":
        got = TuningCache(folder, ("host",)).recall((key,), 1, lambda: Profile(((1, mine),), (0.0, 1.0)))
        assert got.points in (((1, 1.0),), ((1, 2.0),)), got
    if turn % 3 == 0:
        next(folder.iterdir()).unlink(missing_ok=True)
"""


def test_two_processes_write_the_same_measurements_at_once(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path, str(mine)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for mine in (1, 2)
    ]
    for one in writers:
        assert one.stdout is not None
        assert one.stdout.readline() == b"ready\n"
    for one in writers:
        one.communicate(b"\n", timeout=60)
    assert [one.returncode for one in writers] == [0, 0]
    cache = TuningCache(tmp_path, ("host",))
    for path in tmp_path.iterdir():
        assert tuning_cache._read(path, made_for(path), 1) is not None
        assert cache.recall(made_for(path)[2:], 1, pytest.fail) is not None
