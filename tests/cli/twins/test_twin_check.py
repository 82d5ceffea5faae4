"""`imssa twin-check`: a twin of the same kind agrees with a recorded chip, one of another kind does not."""

import h5py
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from imssa_lab.cli.twins.twin_check import twin_check
from imssa_lab.contract.errors import ConfigError, LogError
from imssa_lab.log import open_run, record
from tests.cli.one_value import one_value
from twin import DigitalTwin, TwinProfile
from twin.fitting.comparison import compare_twin

app = typer.Typer()
app.command()(twin_check)


def profile(**changes):
    base = TwinProfile.load("ideal")
    noise = base.read_noise.model_copy(update={"sd_median": 1e-6, "sd_spread": 0.5} | changes)
    columns = base.columns.model_copy(update={"gain_spread": 0.1, "offset_spread": 1e-7})
    return base.model_copy(update={"read_noise": noise, "columns": columns})


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A run of a chip that was programmed, read ten times and multiplied with."""
    path = tmp_path_factory.mktemp("check") / "run.h5"
    chip = DigitalTwin(profile(), (24, 24), seed=99)
    rng = np.random.default_rng(0)
    with record(path, [chip], {}) as (array,):
        array.program_conductances(rng.uniform(10e-6, 100e-6, (24, 24)))
        array.read_conductances(averages=10)
        array.wait(5.0)
        array.read_mvm(rng.uniform(-0.2, 0.2, (64, 24)))
    return path


def test_a_twin_of_the_same_kind_agrees_and_a_noisier_one_is_told_by_name(session):
    with open_run(session) as run:
        told = []
        same = compare_twin(run, profile(), (0, 1, 2), lambda done, total: told.append((done, total)))
        noisy = compare_twin(run, profile(sd_median=1.4e-6), (0, 1, 2))
    assert {one.name for one in same.statistics} >= {"programming error", "read sd per cell", "gain of bit lines"}
    assert same.apart == []
    assert told == [(done, 4) for done in range(5)]
    assert "read sd per cell" in {one.name for one in noisy.apart}
    assert "gain of bit lines" not in {one.name for one in noisy.apart}


def test_the_same_cells_and_bit_lines_asked_again_and_again_count_once(tmp_path):
    chip, rng = DigitalTwin(profile(), (24, 24), seed=98), np.random.default_rng(1)
    with record(tmp_path / "run.h5", [chip], {}) as (array,):
        array.program_conductances(rng.uniform(10e-6, 100e-6, (24, 24)))
        for _ in range(40):
            array.read_conductances(averages=3)
            array.read_mvm(rng.uniform(-0.2, 0.2, (16, 24)))
    with open_run(tmp_path / "run.h5") as run:
        same = compare_twin(run, profile(), (0, 1, 2))
        noisy = compare_twin(run, profile(sd_median=1.4e-6), (0, 1, 2))
    assert same.apart == []
    assert max(one.samples for one in same.statistics) <= 24 * 24
    assert "read sd per cell" in {one.name for one in noisy.apart}


def test_the_command_says_what_differs_and_exits_with_3(session):
    result = CliRunner().invoke(app, [str(session), "ideal"])
    assert result.exit_code == 3
    assert "read sd per cell" in result.output
    assert "DIFFERS" in result.output
    asked = CliRunner().invoke(app, [str(session), "ideal", "--json"])
    assert asked.exit_code == 3
    assert asked.stderr == result.stdout
    told = one_value(asked.stdout)
    assert told["agree"] is False
    assert len(told["statistics"]) == result.stdout.count("agrees") + result.stdout.count("DIFFERS")
    for one in told["statistics"]:
        assert f"{one['distance']:.3f}" in result.stdout
        assert one["differs"] == (f"{one['name']}," in result.stdout or f"{one['name']};" in result.stdout)


def test_a_session_with_nothing_to_compare_is_refused(tmp_path):
    with record(tmp_path / "run.h5", [DigitalTwin("ideal", (4, 4))], {}) as (array,):
        array.wait(1.0)
    with open_run(tmp_path / "run.h5") as run, pytest.raises(LogError, match="no programming, read"):
        compare_twin(run, profile(), (0,))


def test_a_session_with_too_few_values_of_everything_decides_nothing_and_says_of_what(tmp_path):
    with record(tmp_path / "run.h5", [DigitalTwin(profile(), (1, 1))], {}) as (array,):
        array.program_conductances(np.full((1, 1), 50e-6))
        array.read_conductances(averages=10)
    result = CliRunner().invoke(app, [str(tmp_path / "run.h5"), "ideal"])
    assert result.exit_code == 4
    assert "not compared: read sd per cell: 1 values" in result.stdout
    assert "nothing could be compared" in " ".join(result.stdout.split())


def test_damage_in_a_session_is_named(session, tmp_path):
    whole = session.read_bytes()
    cut = tmp_path / "cut.h5"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LogError, match="truncated or damaged"):
        CliRunner().invoke(app, [str(cut), "ideal"], catch_exceptions=False)
    spoilt = bytearray(whole)
    with h5py.File(session) as file:
        place = file["read_mvm/value"].id.get_chunk_info(0).byte_offset
    spoilt[place : place + 64] = bytes(255 - value for value in spoilt[place : place + 64])
    cut.write_bytes(spoilt)
    with pytest.raises(LogError, match="/read_mvm/value, row 0: damaged"):
        CliRunner().invoke(app, [str(cut), "ideal"], catch_exceptions=False)
    cut.write_bytes(whole)
    assert CliRunner().invoke(app, [str(cut), "ideal"]).exit_code == 3  # null control: undamaged, it is compared


def test_a_profile_that_cannot_repeat_the_session_is_called_so(session):
    with pytest.raises(ConfigError, match=r"supert-a0 cannot repeat what .* is it a profile of that chip"):
        CliRunner().invoke(app, [str(session), "supert-a0"], catch_exceptions=False)
