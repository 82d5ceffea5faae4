"""`imssa cost`: of a bundle, and of a run."""

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from imssa_lab.cli import app
from protocols.deployment.sequences import Sequences
from tests.cli.one_value import one_value
from trials import tiny

KERNELS = tiny.STEPS * tiny.CHANNELS * 9


def imssa(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.bundle().save(tmp_path / "bundle.safetensors")
    Sequences(*tiny.sequences(), {"null": 0.5}).save(tmp_path / "sequences.npz")
    return tmp_path


def read_across(table: str) -> str:
    """The second column of a table without its lines."""
    return " ".join(line.split("│")[2].strip() for line in table.splitlines() if line.count("│") == 3)


def test_dense_layers_of_a_bundle_on_arrays_leave_less_digital(folder: Path) -> None:
    bundle = folder / "bundle.safetensors"
    kernels, everything = (
        one_value(imssa("cost", bundle, "--array", "supert-a0", "--layers", layers, "--json").stdout)
        for layers in ("kernels", "all")
    )
    encoder = tiny.STEPS * tiny.INPUTS * tiny.CHANNELS
    assert everything["inference"]["dense_multiply_adds_on_arrays"] == encoder
    assert everything["arrays"] == kernels["arrays"] + 1
    assert everything["inference"]["products"] == 2 * tiny.STEPS
    assert everything["energy"]["digital"] == kernels["energy"]["digital"]
    share = encoder / sum(kernels["inference"]["multiply_adds"].values())
    assert everything["inference"]["digital_share"] == pytest.approx(kernels["inference"]["digital_share"] - share)
    rest = [each["energy"]["rest"]["low"] for each in (kernels, everything)]
    assert rest[0] - rest[1] == pytest.approx(encoder * 0.23e-12)


def own_profile(folder: Path) -> Path:
    path = folder / "timed.toml"
    path.write_text('extends = "supert-a0"\nname = "timed"\n[timing]\napplied = 1e-6\n')
    return path


def test_of_a_bundle_with_a_time_for_the_read_voltage_and_without(folder: Path) -> None:
    bundle = folder / "bundle.safetensors"
    without, timed = (
        imssa("cost", bundle, "--array", kind, "--json") for kind in ("supert-a0", f"twin:{own_profile(folder)}")
    )
    assert (without.exit_code, timed.exit_code) == (0, 0), without.output + timed.output
    open_, known = one_value(without.stdout), one_value(timed.stdout)
    assert "not decidable" in read_across(without.stderr)
    assert "[timing] applied" in read_across(without.stderr)
    assert "not decidable" not in read_across(timed.stderr)
    assert open_["inference"] == known["inference"]
    assert open_["square_volts_siemens"] == known["square_volts_siemens"] > 0
    assert (open_["applied"], known["applied"]) == (None, 1e-6)
    assert open_["energy"]["reads"]["cells"] is None
    assert known["energy"]["reads"]["cells"] == pytest.approx(1e-6 * known["square_volts_siemens"])
    counts = open_["inference"]
    assert counts["multiply_adds"]["kernels"] == KERNELS
    assert counts["conversions"] == tiny.STEPS * tiny.CHANNELS * 2 * 3 * 2 * 8
    assert counts["products"] == tiny.STEPS  # three kernels stand side by side in one bank
    assert 0 < open_["line_drives"] <= counts["line_drives_at_most"]
    whole = sum(counts["multiply_adds"].values())
    assert open_["energy"]["digital"]["low"] == pytest.approx(whole * 0.23e-12)
    shown = read_across(without.stderr)
    assert f"digital {100 * (1 - KERNELS / whole):.1f} %" in shown
    for source in ("ISCA 2016", "ISSCC 2014", "crossbar_simulator", "not opened"):
        assert source in shown


def test_of_a_bundle_with_a_table_of_ones_own(folder: Path) -> None:
    figure = 'name = "mine"\njoules = {}\nsource = "our bench"\nseen = "measured on 2 May"\n'
    kinds = {"conversion": 1e-15, "line_drive": 0.0, "multiply_add": 5e-12}
    table = "".join(f"[[{kind}]]\n{figure.format(joules)}" for kind, joules in kinds.items())
    (folder / "mine.toml").write_text(table)
    told = imssa("cost", folder / "bundle.safetensors", "--energy", folder / "mine.toml", "--json")
    assert told.exit_code == 0, told.output
    facts = one_value(told.stdout)
    conversions, parts = facts["inference"]["conversions"], facts["inference"]["multiply_adds"]
    whole = sum(parts.values())
    ratio = (1e-15 * conversions + 5e-12 * (whole - parts["kernels"])) / (5e-12 * whole)
    assert facts["energy"]["ratio"] == {"low": pytest.approx(ratio), "high": pytest.approx(ratio)}
    assert "of it (cells not counted)" in read_across(told.stderr)
    assert "our bench" in told.stderr
    assert "Horowitz" not in told.stderr
    (folder / "mine.toml").write_text(table.replace('source = "our bench"', "", 1))
    refused = imssa("cost", folder / "bundle.safetensors", "--energy", folder / "mine.toml")
    assert refused.exit_code == 1
    assert "conversion.0.source" in refused.output


def test_of_a_deployment(folder: Path) -> None:
    deployed = imssa(
        "deploy",
        *(folder / "bundle.safetensors", "--sequences", folder / "sequences.npz", "--out", folder / "run"),
        *("--array", "twin:ideal?seed={index}&shape=16x16"),
    )
    assert deployed.exit_code == 0, deployed.output
    assert "multiply-adds a conversion" in deployed.output
    told = imssa("cost", folder / "run", "--json")
    assert told.exit_code == 0, told.output
    facts = one_value(told.stdout)
    counts = facts["counts"]
    assert counts["vectors"] == counts["one_bit"] == sum(each["vectors"] for each in facts["by_array"])
    assert counts["conversions"] == 16 * counts["one_bit"]
    assert counts["unknown"] == 0  # the look at the arrays reads every cell
    assert facts["energy"]["cells"] is None
    assert facts["inference"]["mended"]["multiply_adds"]["kernels"] == KERNELS
    assert facts["inference"]["mended"] == facts["inference"]["planned"]
    assert facts["inference_energy_without_cells"]["digital"]["low"] > 0
    assert imssa("cost", folder / "run" / "run.h5", "--json").stdout == told.stdout
    assert "bit lines in use" in (folder / "run" / "report.html").read_text()
    nothing = imssa("cost", folder / "none.safetensors")
    assert nothing.exit_code == 1
    assert "no such file" in nothing.output
