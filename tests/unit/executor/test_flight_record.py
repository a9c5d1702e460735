from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.executor.flight_record import CAPACITY, SLOTS, Activity, FlightRecord
from treadle_agent.executor.protocol import FLIGHT_RECORD_BYTES

NAMES = st.lists(st.integers(0, 2**64 - 1), max_size=40)


@given(st.lists(st.tuples(st.integers(0, SLOTS - 1), NAMES, st.booleans()), max_size=40))
def test_reads_what_was_written_last(steps: list[tuple[int, list[int], bool]]) -> None:
    memory = memoryview(bytearray(FLIGHT_RECORD_BYTES + 64))
    writer, reader = FlightRecord(memory), FlightRecord(memory)
    expected: dict[int, list[int]] = {}
    for slot, names, ends in steps:
        if ends:
            writer.end(slot)
            expected.pop(slot, None)
        else:
            writer.begin(slot, Activity.LAUNCH, names, 1.5, 0.25)
            expected[slot] = names
    flights = reader.flights()
    assert {flight.slot: list(flight.names) for flight in flights} == expected
    assert all((flight.started, flight.expected, flight.complete) == (1.5, 0.25, True) for flight in flights)
    assert not any(memory[FLIGHT_RECORD_BYTES:]), "the record wrote into the blocks"
    reader.clear()
    assert reader.flights() == []


def test_more_names_than_fit_are_known_to_be_missing() -> None:
    record = FlightRecord(memoryview(bytearray(FLIGHT_RECORD_BYTES)))
    record.begin(SLOTS - 1, Activity.LAUNCH, range(CAPACITY + 1), 0.0, 0.0)
    record.begin(0, Activity.LOAD, range(CAPACITY), 0.0, 0.0)
    load, launch = record.flights()
    assert (load.complete, load.names, load.activity) == (True, tuple(range(CAPACITY)), Activity.LOAD)
    assert (launch.complete, launch.names) == (False, tuple(range(CAPACITY)))


def test_a_new_flight_has_a_new_sequence() -> None:
    record = FlightRecord(memoryview(bytearray(FLIGHT_RECORD_BYTES)))
    seen = set()
    for _ in range(3):
        record.begin(2, Activity.LAUNCH, [7], 0.0, 0.0)
        seen.add(record.flights()[0].sequence)
        record.end(2)
    assert len(seen) == 3


def test_what_a_model_wrote_over_it_is_no_flight() -> None:
    memory = bytearray(FLIGHT_RECORD_BYTES)
    record = FlightRecord(memoryview(memory))
    record.begin(0, Activity.LAUNCH, [7], 0.0, 0.0)
    memory[FLIGHT_RECORD_BYTES // SLOTS :] = b"\xee" * (FLIGHT_RECORD_BYTES - FLIGHT_RECORD_BYTES // SLOTS)
    assert [flight.names for flight in record.flights()] == [(7,)]
