"""The committed page says what the committed result says, and ranges are enforced."""

import msgspec
import pytest

import check_expected as expected
import performance_page as page
import readme_figures as readme
from treadle.bench.serving.checks import checks
from treadle.bench.serving.report import LeftOut, Report

RANGES = msgspec.json.decode(expected.EXPECTED.read_bytes(), type=dict[str, tuple[float, float]])


def test_the_committed_page_is_fresh():
    report = msgspec.json.decode(page.RESULT.read_bytes(), type=Report)
    assert page.PAGE.read_text() == page.render(report), "run: python benchmarks/performance_page.py"


def test_readmes_figures_are_those_of_the_committed_results():
    text = readme.README.read_text()
    results = readme.read()
    assert text == readme.render(text, results), "run: python benchmarks/readme_figures.py"
    judged = [*results.serving.checks, *results.host.rows, *results.scheduling.checks, results.memory]
    assert text.count("(**missed**)") == sum(one.reached is False for one in judged)


def test_a_readme_without_a_place_for_figures_is_refused():
    with pytest.raises(ValueError, match="no lines"):
        readme.render("# treadle\n", readme.read())


def test_the_committed_result_was_judged_by_the_targets_of_today():
    report = msgspec.json.decode(page.RESULT.read_bytes(), type=Report)
    assert report.checks == checks(report), "the targets changed: run treadle bench serving anew"


def test_the_page_holds_every_figure(report):
    report = msgspec.structs.replace(report, checks=checks(report), left_out=(LeftOut("a", "b", "it\nfell"),))
    text = page.render(report)
    assert text.count("| mlp-json |") == 3 + 3  # saturations and rows
    assert "| aiohttp | 64 | 100 | 1600 | 1500 | 680 |" in text
    assert "| a | b | it fell |" in text
    assert all(check.what in text for check in report.checks)


def test_a_good_report_lies_in_the_committed_ranges(report):
    report = msgspec.structs.replace(report, checks=checks(report))
    assert expected.outside(report, RANGES) == []


@pytest.mark.parametrize("value", [0.0, 1e9])
def test_too_good_is_as_wrong_as_too_bad(report, value):
    judged = checks(report)
    spoilt = msgspec.structs.replace(judged[0], measured=value)
    report = msgspec.structs.replace(report, checks=(spoilt, *judged[1:]))
    (line,) = expected.outside(report, RANGES)
    assert line.startswith(f"{spoilt.name}: {value:.3g} lies outside")


def test_ranges_and_checks_name_each_other(report):
    report = msgspec.structs.replace(report, checks=checks(report)[1:])
    assert len(expected.outside(report, RANGES)) == 1
    assert len(expected.outside(report, {})) == len(report.checks)


def test_what_was_not_measured_passes_and_is_named(report, tmp_path, capsys):
    nothing = msgspec.structs.replace(report, rows=(), saturation=(), memory=())
    result = tmp_path / "result.json"
    result.write_bytes(msgspec.json.encode(msgspec.structs.replace(nothing, checks=checks(nothing))))
    assert expected.main([str(result)]) == 0
    assert capsys.readouterr().out.count("not measured") == len(RANGES)
