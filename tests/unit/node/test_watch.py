"""Manifests that change in all the ways that manifests change."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from treadle import watch
from treadle.watch import changes, fingerprint, marks


def rewrite_in_place(folder: Path) -> None:
    (folder / "a.yaml").write_text("changed")


def same_size_and_time(folder: Path) -> None:
    before = (folder / "a.yaml").stat()
    (folder / "a.yaml").write_text("eman")
    os.utime(folder / "a.yaml", ns=(before.st_atime_ns, before.st_mtime_ns))


def rename_over(folder: Path) -> None:
    (folder / ".a.swp").write_text("name")
    (folder / ".a.swp").rename(folder / "a.yaml")


def add(folder: Path) -> None:
    (folder / "b.yaml").write_text("b")


def remove(folder: Path) -> None:
    (folder / "a.yaml").unlink()


def swap_as_a_config_map(folder: Path) -> None:
    (folder / "..2").mkdir()
    (folder / "..2" / "c.yaml").write_text("name")
    (folder / "..new").symlink_to("..2")
    (folder / "..new").rename(folder / "..data")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.yaml").write_text("name")
    (tmp_path / "..1").mkdir()
    (tmp_path / "..1" / "c.yaml").write_text("name")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "c.yaml").symlink_to("..data/c.yaml")
    return tmp_path


@pytest.mark.parametrize(
    "edit",
    [rewrite_in_place, same_size_and_time, rename_over, add, remove, swap_as_a_config_map],
    ids=lambda f: f.__name__,
)
def test_every_edit_is_noticed(folder, edit):
    before = fingerprint(folder)
    assert fingerprint(folder) == before
    edit(folder)
    assert fingerprint(folder) not in (before, None)


@pytest.mark.parametrize("name", ["notes.txt", ".hidden.yaml"])
def test_other_files_do_not_matter(folder, name):
    before = fingerprint(folder)
    (folder / name).write_text("x")
    assert fingerprint(folder) == before


def test_one_file_is_watched_by_its_name(folder):
    before = fingerprint(folder / "a.yaml")
    add(folder)
    assert fingerprint(folder / "a.yaml") == before
    rename_over(folder)
    assert fingerprint(folder / "a.yaml") != before


def test_a_folder_that_is_gone_has_no_fingerprint(folder):
    assert fingerprint(folder / "missing") is None


def test_a_folder_that_goes_is_noticed_once_and_comes_back(folder, monkeypatch):
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(watch, "SETTLE_SECONDS", 0.01)
    away = folder.with_name("away")

    async def run() -> list[bool]:
        found: list[bool] = []
        folder.rename(away)
        async with asyncio.timeout(10):
            async for _ in changes(folder, fingerprint(away)):
                found.append(folder.exists())
                if found[-1]:
                    return found
                await asyncio.sleep(0.1)
                away.rename(folder)
        return found

    assert asyncio.run(run()) == [False, True]


def test_a_link_that_leads_nowhere_hides_no_edit(folder):
    (folder / "d.yaml").symlink_to("nowhere")
    before = fingerprint(folder)
    rewrite_in_place(folder)
    assert fingerprint(folder) not in (before, None)


def test_a_file_s_mark_tells_whether_it_is_another(folder):
    files = [folder / "a.yaml", folder / "missing", folder / "no\0name"]
    before = marks(files)
    assert before[folder / "missing"] is None
    assert marks(files) == before
    same_size_and_time(folder)
    assert marks(files) != before
    (folder / "a.yaml").unlink()
    assert marks(files) == dict.fromkeys(files)


def test_an_edit_counts_once_it_is_complete(folder, monkeypatch):
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(watch, "SETTLE_SECONDS", 0.05)
    seen: list[str] = []

    async def observe() -> None:
        async for _ in changes(folder, fingerprint(folder)):
            seen.append((folder / "a.yaml").read_text())  # noqa: PERF401 - the changes do not end

    async def run() -> None:
        observing = asyncio.create_task(observe())
        await asyncio.sleep(0)
        for text in ("", "h", "ha", "half"):  # an editor that truncates and writes bit by bit
            (folder / "a.yaml").write_text(text)
            await asyncio.sleep(0.02)
        (folder / "a.yaml").write_text("whole")
        async with asyncio.timeout(10):
            while "whole" not in seen:
                assert not observing.done()
                await asyncio.sleep(0.01)
        observing.cancel()
        await asyncio.gather(observing, return_exceptions=True)

    asyncio.run(run())
    assert seen == ["whole"]
