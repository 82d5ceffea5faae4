"""A wire in any pieces, the statistics of a run, and where two things differ, each against a plain way to say it."""

import time
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, LinkTimeout, LogError, ReplayMismatch
from imssa_lab.contract.hal import Pulses
from imssa_lab.contract.programming_report import CellOutcome, ProgrammingReport
from imssa_lab.log import RunLog, open_run, record
from imssa_lab.log.care.compare import differences, statistics
from imssa_lab.log.file.chunks import scan
from imssa_lab.log.replay import divergence, replayed_wire
from imssa_lab.log.replay.replayed_wire import ReplayedWire
from tests.log.conftest import Chip, session

# ---- a wire


@pytest.fixture(scope="module")
def talk() -> list[tuple[int, bytes]]:
    """(1 to the instrument or 0 from it, bytes) of one link; some of one byte, some longer than is read at once."""
    rng = np.random.default_rng(0)
    return [(int(rng.integers(2)), rng.bytes(int(size))) for size in rng.choice([1, 2, 7, 40], 60)]


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory, talk: list[tuple[int, bytes]]) -> Path:
    path = tmp_path_factory.mktemp("wire") / "run.h5"
    began = time.time()
    with RunLog.create(path, [Chip()], {}) as log:
        links = [log.wire("usb"), log.wire("lan")]
        for number, (sent, data) in enumerate(talk):
            for link in links:
                (link.sent if sent else link.received)(data if link is links[0] else data[::-1], began + number)
    return path


@pytest.mark.parametrize("ahead", [1, 64, 1 << 20])
@pytest.mark.parametrize("link", [0, 1])
def test_a_wire_is_replayed_in_whatever_pieces_it_is_asked_for(
    wired: Path, talk: list[tuple[int, bytes]], monkeypatch: pytest.MonkeyPatch, ahead: int, link: int
) -> None:
    monkeypatch.setattr(replayed_wire, "_READ_AHEAD", ahead)
    rng = np.random.default_rng(link)
    with open_run(wired) as run:
        wire = ReplayedWire(run, link)
        assert wire.messages_left == len(talk)
        place = 0
        while place < len(talk):
            sent = talk[place][0]
            stop = next((at for at in range(place, len(talk)) if talk[at][0] != sent), len(talk))
            whole = b"".join(data[::-1] if link else data for _, data in talk[place:stop])
            if sent:
                assert wire.receive(5) == b""  # nothing comes before it is asked for
                while whole:
                    size = int(rng.integers(1, 30))
                    wire.send(whole[:size])
                    whole = whole[size:]
            else:
                while whole:
                    size = int(rng.integers(1, 30))
                    assert wire.receive(size) == whole[:size]
                    whole = whole[size:]
            assert wire.messages_left == len(talk) - stop
            last = min(stop, len(talk) - 1)
            assert wire.time == pytest.approx(last - 0, abs=1.0)
            place = stop
        assert wire.receive(10) == b""
        with pytest.raises(ReplayMismatch, match=f"link {link}: the record ends here"):
            wire.send(b"?")


def test_a_wire_is_replayed_up_to_a_megabyte_before_what_is_damaged(tmp_path: Path) -> None:
    answers = [bytes([number]) * (1 << 17) for number in range(20)]
    with RunLog.create(tmp_path / "run.h5", [Chip()], {}) as log:
        link = log.wire("usb")
        for answer in answers:
            link.sent(b"?", time.time())
            link.received(answer, time.time())
    with open_run(tmp_path / "run.h5") as run, (tmp_path / "run.h5").open("r+b") as raw:
        damaged = next(chunk for chunk in scan(run.file["wire/data"], raw.fileno()) if chunk.first >= 3 << 19)
        raw.seek(damaged.byte_offset + damaged.size // 2)
        raw.write(b"damage")
    given = 0
    with open_run(tmp_path / "run.h5") as run:
        wire = ReplayedWire(run, 0)

        def go_on(answer: bytes) -> int:
            wire.send(b"?")
            assert wire.receive(len(answer)) == answer
            return 1 + len(answer)

        while given < damaged.first - (1 << 20):
            given += go_on(answers.pop(0))
        with pytest.raises(LogError, match=r"wire/data.*damaged"):
            any(go_on(answer) < 0 for answer in answers)


def test_the_first_other_byte_and_a_word_out_of_turn_are_named(wired: Path, talk: list[tuple[int, bytes]]) -> None:
    first = next(at for at, (sent, data) in enumerate(talk) if sent and len(data) > 5)
    with open_run(wired) as run:
        wire = ReplayedWire(run, 0)
        for sent, data in talk[:first]:
            if sent:
                wire.send(data)
            else:
                wire.receive(len(data))
        good = talk[first][1]
        wire.send(good[:2])
        wrong = bytes([good[2], good[3], good[4] ^ 1, *good[5:]])
        with pytest.raises(ReplayMismatch, match=f"link 0, message {2 * first}, byte 4: other bytes were sent"):
            wire.send(wrong)
        speaks = next(at for at, (sent, _) in enumerate(talk) if not sent)
        fresh = ReplayedWire(run, 0)
        for _, data in talk[:speaks]:
            fresh.send(data)
        with pytest.raises(ReplayMismatch, match="the instrument was speaking"):
            fresh.send(b"x")
        with pytest.raises(ConfigError, match="holds no bytes of link 2"):
            ReplayedWire(run, 2)


# ---- statistics


def outcomes(*ends: CellOutcome) -> ProgrammingReport:
    target = np.full((5, 4), 5e-5)
    achieved = target + 1e-6 * np.arange(20).reshape(5, 4)
    outcome = np.resize(np.array(ends, dtype=np.uint8), (5, 4))
    return ProgrammingReport(target, achieved, np.ones((5, 4), np.int32), outcome, 5e-6, 1.0, 2)


def test_statistics_count_what_the_script_did(tmp_path: Path) -> None:
    chip = Chip(bits=None)
    codes: list[np.ndarray] = []  # type: ignore[type-arg]
    with record(tmp_path / "run.h5", [chip], {}) as (array,):
        seen = [array.read_mvm(np.full((rows, 5), 0.1)) for rows in (3, 1, 600)]
        codes += [one.ravel() for one in seen]
        array.wait(2.0)
        array.wait(0.5)
        number = np.arange(20).reshape(5, 4)
        array.apply_pulses(Pulses.on(number < 7, "SET", 1.0, 1.5, 1e-7))
        array.apply_pulses(Pulses.on(number < 3, "RESET", 1.0, 1.5, 1e-7))
        array.apply_pulses(Pulses.on(number < 2, "RESET", 1.0, 1.5, 1e-7))
        first = outcomes(CellOutcome.REACHED, CellOutcome.NOT_SELECTED, CellOutcome.GAVE_UP, CellOutcome.REACHED)
        array.program_conductances(np.full((5, 4), 5e-5), first.selected, lambda *_: first)
        chip.fail = [LinkTimeout("gone")]
        with pytest.raises(LinkTimeout):
            array.read_mvm(np.zeros(5))
        ended = chip.time
    with open_run(tmp_path / "run.h5") as run:
        found = statistics(run)
    assert found["read_mvm"] == 3
    assert found["waits"] == 2
    assert found["read_mvm rows"] == 604
    assert (found["SET calls"], found["RESET calls"], found["cell pulses"]) == (1, 2, 12)
    values = np.concatenate(codes)
    assert found["read_mvm value, mean"] == pytest.approx(values.mean())
    assert found["read_mvm value, std"] == pytest.approx(values.std())
    assert "read_conductances value, mean" not in found
    assert found["cells asked for, over all programming calls"] == 15
    inside = first.selected & (np.arange(20).reshape(5, 4) <= 5)
    assert found["of these in tolerance at the end of the call, fraction"] == pytest.approx(inside.sum() / 15)
    assert found["the loop says reached, cells"] == 10
    assert found["the loop says gave up, cells"] == 5
    assert "the loop says stuck low, cells" not in found
    assert found["failed calls"] == 1
    assert found["wire bytes"] == 0
    assert found["device time, s"] == pytest.approx(ended)


# ---- differences


def test_runs_differ_in_settings_arrays_calls_and_statistics_and_the_first_call_is_named(tmp_path: Path) -> None:
    for name, volts, chips in (("one", 0.1, 1), ("two", 0.1, 1), ("three", 0.15, 1), ("four", 0.1, 2)):
        with record(tmp_path / name, [Chip(seed + 1) for seed in range(chips)], {"who": name[0]}) as arrays:
            session(arrays[0])
            arrays[0].read_mvm(np.full(5, volts))
            if name == "two":
                arrays[0].wait(1.0)

    def differ(one: str, two: str) -> dict[tuple[str, str], tuple[str, str]]:
        with open_run(tmp_path / one) as first, open_run(tmp_path / two) as second:
            return {(part, name): (here, there) for part, name, here, there in differences(first, second)}

    longer = differ("one", "two")
    assert longer["settings", "who"] == ("o", "t")
    assert longer["statistics", "waits"] == ("1", "2")
    (end,) = (names for (part, _), names in longer.items() if part == "calls")
    assert end[0] == "the end"
    assert end[1].startswith("waits (record ")
    other = differ("one", "three")
    (call,) = (name for part, name in other if part == "calls")
    assert "(read_mvm, record" in call
    (words,) = (names[0] for (part, _), names in other.items() if part == "calls")
    assert words.startswith("voltage")
    assert "0.1 in the log" in words
    assert "against 0.15" in words
    more = differ("one", "four")
    assert more["arrays", "count"] == ("1", "2")
    assert not [part for part, _ in differ("one", "one")]


def test_differing_values_are_shown_side_by_side_eight_at_most() -> None:
    logged = np.arange(12.0).reshape(3, 4)
    assert divergence.mismatch("x", logged, logged.copy()) == ""
    assert divergence.mismatch("x", np.array([np.nan]), np.array([np.nan])) == ""
    assert "differ" in divergence.mismatch("x", np.array([0.0]), np.array([-0.0]))
    one = logged.copy()
    one[1, 2] = 9.0
    assert divergence.mismatch("x", logged, one) == (
        "x[1, 2] is 6.0 in the log, the script gives 9.0 (1 of 12 values differ)"
    )
    lines = divergence.mismatch("x", logged, logged + 1).splitlines()
    assert lines[0].endswith("(12 of 12 values differ)")
    assert len(lines) == 1 + 1 + 8 + 1
    assert lines[-1].split() == ["...", "...", "..."]
    eight = logged.copy()
    eight[:2] += 1
    assert len(divergence.mismatch("x", logged, eight).splitlines()) == 1 + 1 + 8
    assert divergence.mismatch("x", logged, logged[:2]) == "x has shape (3, 4) in the log, the script gives (2, 4)"
    assert divergence.mismatch("n", 3, 4).startswith("n is 3 in the log, the script gives 4")
    assert divergence.payload({"v": np.array([[1.0, np.nan, -2.5]]), "n": 3}) == "v 1x3 of -2.5 to 1, n 3"
    assert divergence.payload({"v": np.full((2, 2), np.nan)}) == "v 2x2, nothing in it"
