"""Which measured tiers a ModelProfile is made of."""

import io

from rich.console import Console

from treadle.profile.latency.manifests import write_profiles
from treadle.profile.latency.report import Batch, Report, Tier
from treadle.profile.latency.table import show
from treadle_api.tenant import Precision


def tier(name: str, profile: str, precision: Precision) -> Tier:
    batches = (Batch(1, 0.001, 0.002, 9),)
    return Tier(name, 90.0, profile, "ab" * 32, "", 4096, "merged", 800.0, batches, (), precision)


def test_profiles_are_of_float32_and_tables_tell_the_others(tmp_path) -> None:
    tiers = (tier("plain", "ab-on-a-gpu", Precision.FLOAT32), tier("half", "", Precision.FLOAT16))
    report = Report("digits.default", "cuda", "a GPU", False, tiers)
    assert [path.name for path in write_profiles(report, tmp_path)] == ["ab-on-a-gpu.yaml"]
    output = io.StringIO()
    show(report, Console(file=output, width=120))
    rows = [line.split("│")[1:3] for line in output.getvalue().splitlines() if "merged" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [["plain", "merged"], ["half", "merged, Float16"]]
