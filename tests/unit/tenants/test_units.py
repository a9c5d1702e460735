import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from treadle_api.units import UnitError, format_duration, parse_decimal, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("750ms", 0.75),
        ("1s", 1.0),
        ("1m30s", 90.0),
        ("2h", 7200.0),
        ("1h1m1s1ms", 3661.001),
        ("0s", 0.0),
        ("1s1s", 2.0),
    ],
)
def test_durations_are_those_of_the_gateway_api(text, seconds):
    assert parse_duration(text) == seconds


@example([(94, "ms"), (39812, "m"), (99999, "m")])
@given(st.lists(st.tuples(st.integers(0, 99999), st.sampled_from(["h", "m", "s", "ms"])), min_size=1, max_size=4))
def test_one_length_of_time_is_one_number_however_it_is_written(parts):
    forwards, backwards = ("".join(f"{n}{unit}" for n, unit in order) for order in (parts, parts[::-1]))
    seconds = parse_duration(forwards)
    assert seconds == parse_duration(backwards)
    if seconds < 99999 * 3600:
        assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "1", "ms", "1.5s", "-1s", "1us", "1d", "100000s", "1s\n", "1s1s1s1s1s", "1S"])
def test_other_durations_are_refused(text):
    with pytest.raises(UnitError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(0, 10**6), st.integers(0, 9999))
def test_decimals_are_read_exactly_as_python_reads_them(whole, fraction):
    assert parse_decimal(f"{whole}.{fraction:04}") == float(f"{whole}.{fraction:04}")


@pytest.mark.parametrize("text", ["", "-1", "+1", "1e3", ".5", "5.", "nan", "1,5", "1 ", "٣"])
def test_other_decimals_are_refused(text):
    with pytest.raises(UnitError, match="is not a decimal"):
        parse_decimal(text)
