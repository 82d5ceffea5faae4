"""What --dry-run says of a deployment, beside what then happens; and what is refused before anything is sent."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.cli.arrays import before_deploying
from imssa_lab.cli.arrays.before_deploying import StandIn, known_cells, rehearsals, stand_ins
from imssa_lab.cli.arrays.packed_arrays import too_few
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import Pulses
from imssa_lab.log.write import record_sizes
from imssa_lab.mapping import arrays_needed
from protocols.chip_record import ChipRecord
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import deploy
from protocols.deployment.sequences import Sequences
from protocols.wrappers.counting_array import CountingArray
from tests.cli.one_value import one_value
from trials import tiny
from trials.untrained import untrained_bundle
from twin import DigitalTwin

TWIN = "twin:supert-a0-easy?seed={index}&shape=16x24"


def imssa(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def twin_of(stand_in: StandIn) -> DigitalTwin:
    inside = stand_in._array
    assert isinstance(inside, DigitalTwin)
    return inside


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setattr(before_deploying, "_ENOUGH", 4)  # so many rehearsals as real nets need would take long
    tiny.bundle().save(tmp_path / "bundle.safetensors")
    Sequences(*tiny.sequences(), {"null": 0.5}).save(tmp_path / "sequences.npz")
    return tmp_path


def deployed(*more: object, array: str = TWIN, bundle: str = "bundle.safetensors") -> Result:
    return imssa("deploy", bundle, "--sequences", "sequences.npz", "--array", array, "--out", "night", *more)


def test_a_rehearsal_says_what_then_happens_on_another_chip(here: Path) -> None:
    told = one_value(deployed("--dry-run", "--json").stdout)
    done = one_value(deployed("--json").stdout)
    expected = told["expected"]
    assert told["rehearsed_on"].startswith("supert-a0-easy, fresh, other chips")
    assert len(told["rehearsals"]) == rehearsals(1) == 4
    # three kernels, of which one that has to be programmed again counts for much; real nets are in measure-bench
    assert expected["pulses"] == pytest.approx(done["pulses"], rel=0.5)
    assert expected["device_seconds"] == pytest.approx(done["device_seconds"], rel=0.5)
    assert told["log_bytes"] == pytest.approx((here / "night" / "run.h5").stat().st_size, rel=0.3)
    # the chip's own luck is not known to the rehearsal: it does not repeat the deployment that follows
    assert expected["pulses"] != done["pulses"]
    assert told["strongest"]["SET"]["voltage"] <= 3.0


def test_a_dry_run_says_how_many_rehearsals_its_figures_are_near(here: Path) -> None:
    said = " ".join(deployed("--dry-run").stdout.split())
    near = re.search(r"pulses │ about (\d+) \((\d+) to (\d+); (\d) of 4 rehearsals within 30 %\)", said)
    assert near is not None
    told = one_value(deployed("--dry-run", "--json").stdout)
    expected, found = told["expected"]["pulses"], [each["pulses"] for each in told["rehearsals"]]
    count = sum(abs(expected - each) <= 0.3 * each for each in found)
    assert [int(part) for part in near.groups()] == [expected, min(found), max(found), count]


def test_a_rehearsal_has_the_faults_that_the_chip_record_lists(here: Path) -> None:
    """And no others, once the whole chip was looked at: a record of programming leaves those of other chips."""
    chip = DigitalTwin("supert-a0", (16, 24), 1)
    faults = {"stuck low": (2, 3), "stuck high": (5, 6), "dead word line": 9, "dead bit line": 11}
    masks = {name: np.zeros((16, 24), dtype=bool) for name in faults}
    masks["stuck low"][2, 3] = masks["stuck high"][5, 6] = True
    masks["dead word line"][9] = masks["dead bit line"][:, 11] = True
    every = np.logical_or.reduce(list(masks.values()))
    record = here / "chips.sqlite"
    with ChipRecord(record) as chips:
        chips.add_faults(chips.know(chip.info), masks, "programming")
    twins, words = stand_ins([chip], None, known=known_cells(record, [chip]))
    stuck = twin_of(twins[0]).cells.stuck
    assert stuck[every].all()
    assert stuck.sum() > every.sum()
    assert f"with the {every.sum()} cells that the chip record lists" in words
    assert "not all chips were surveyed" in words
    with ChipRecord(record) as chips:
        chips.add_survey(chips.know(chip.info), masks, "characterise")
    seen = []
    for number in range(2):
        twins, words = stand_ins([chip], None, number=number, known=known_cells(record, [chip]))
        cells = twin_of(twins[0]).cells
        assert np.array_equal(cells.stuck, every)
        assert cells.conductance[2, 3] == chip.profile.stuck.off_conductance
        assert cells.conductance[5, 6] > 60e-6
        assert np.median(cells.conductance[9]) == pytest.approx(88e-6, rel=0.3)
        assert (cells.conductance[:, 11] == 0.8e-6).all()
        assert np.median(cells.conductance[~every]) == pytest.approx(2e-6, rel=0.2)
        seen.append(cells.conductance[~every])
    assert not np.array_equal(*seen)
    assert ", surveyed 20" in words


def test_known_cells_get_no_pulse_in_a_rehearsal(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are placed around them, as in the deployment. Where they are not known, they get pulses."""
    stuck = np.zeros((16, 24), dtype=bool)
    stuck[:3, :6] = True  # the place of the first kernel
    pulsed: list[bool] = []

    class Watched(StandIn):
        def _after_pulses(self, pulses: Pulses) -> None:
            super()._after_pulses(pulses)
            pulsed.append(bool((pulses.mask & stuck).any()))

    monkeypatch.setattr(before_deploying, "StandIn", Watched)
    record = here / "chips.sqlite"
    address = TWIN.replace("{index}", "0")
    unknown = one_value(deployed("--dry-run", "--json", "--chip-record", record, array=address).stdout)
    assert not record.exists()
    assert unknown["rehearsed_on"].endswith("other chips than yours")
    assert any(pulsed)
    pulsed.clear()
    with ChipRecord(record) as chips, DigitalTwin("supert-a0-easy", (16, 24), seed=0) as chip:
        chips.add_survey(name := chips.know(chip.info), {"stuck low": stuck}, "characterise")
    said = one_value(deployed("--dry-run", "--json", "--chip-record", record, array=address).stdout)
    with ChipRecord(record) as chips:
        assert chips.wear(name).pulses.sum() == 0
    assert pulsed
    assert not any(pulsed)
    assert "surveyed 20" in said["rehearsed_on"]


def test_a_recheck_is_rehearsed_on_cells_that_hold_their_targets(here: Path) -> None:
    deployed(array=TWIN.replace("supert-a0-easy", "ideal") + "&state=chip{index}.h5")
    told = one_value(imssa("recheck", "night", "--dry-run", "--json").stdout)
    assert told["rehearsed_on"].startswith("ideal, as the deployment left them")
    assert told["expected"]["pulses"] == 0
    assert told["expected"]["products"] > 0


def test_a_budget_bounds_a_rehearsal(here: Path) -> None:
    told = one_value(deployed("--max-pulses", 30, "--dry-run", "--json").stdout)
    assert 0 < told["expected"]["pulses"] <= 30


def test_without_a_profile_moving_cells_of_a_fresh_chip_are_counted() -> None:
    array = DigitalTwin("supert-a0-easy", (16, 24), 1)
    array._info = array.info.model_copy(update={"provenance": {}})
    assert stand_ins([array], None) == ([], "")
    assert stand_ins([array], "supert-a0")[1].startswith("supert-a0, ")
    dry = CountingArray(array, fresh=True)
    deploy(tiny.bundle(), [dry], Sequences(*tiny.sequences()), DeploymentChoices(mending=False))
    moved = sum(target > dry.info.window.low for target in tiny_targets(array))
    assert dry.expected.pulses == 25 * moved


def tiny_targets(array: DigitalTwin) -> list[float]:
    other = DigitalTwin("ideal", array.info.shape, 1)
    done = deploy(tiny.bundle(), [other], Sequences(*tiny.sequences()), DeploymentChoices(mending=False))
    return [float(target) for target in done.targets[0].ravel() if np.isfinite(target)]


def test_too_few_arrays_are_said_with_the_ways_out(here: Path) -> None:
    bundle = untrained_bundle()
    bundle.save(here / "large.safetensors")
    needed = arrays_needed(bundle, (16, 24))
    for more in ((), ("--dry-run",)):
        refused = deployed(*more, array="twin:supert-a0-easy?shape=16x24", bundle="large.safetensors")
        assert refused.exit_code == 1
        assert f"{needed} arrays of 16x24 needed, there is 1" in refused.stderr
        assert "imssa train --arrays 1 --shape 16x24" in refused.stderr
    said = str(too_few(10, 0, 3, (64, 64), ConfigError("array 3; there are arrays 0 to 2")))
    assert said.startswith("10 arrays of 64x64 needed, there are 3: ")
    assert "imssa train --arrays 3 (" in said
    assert "spare ones are not" in str(too_few(2, 2, 3, (64, 64), ConfigError("gone")))
    assert not (here / "night").exists()


def test_a_disk_without_room_is_refused_before_anything_is_sent(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = one_value(deployed("--dry-run", "--json").stdout)
    free = shutil.disk_usage(here).free
    assert told["bytes_free"] == pytest.approx(free, rel=0.5)
    monkeypatch.setattr(record_sizes.shutil, "disk_usage", lambda _: SimpleNamespace(free=record_sizes.RESERVE))
    assert "NOT ENOUGH" not in deployed("--dry-run").stdout  # that is more than the log of this small net takes
    refused = deployed()
    assert refused.exit_code == 1
    assert "the log will take about" in refused.stderr
    assert "nothing was sent to the array" in refused.stderr
    assert not list((here / "night").glob("*.h5"))
    monkeypatch.setattr(record_sizes.shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    assert "NOT ENOUGH" in deployed("--dry-run").stdout
