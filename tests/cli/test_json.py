"""--json: one value on stdout with the figures of the text, which goes to stderr; without it nothing changes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from click.testing import Result
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.cli.shared.json_output import json_text
from imssa_lab.log import open_run, record
from imssa_lab.log.care.compare import differences, statistics, stored_bytes
from imssa_lab.mapping.placement import most_channels
from imssa_lab.report.measured.deployment_result import outcome_of
from imssa_lab.report.measured.programmed import cell_figures
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.train.recipes import training_recipe
from imssa_lab.s4d.train.settings import TrainingConfig
from protocols.deployment import deployment
from protocols.deployment.deployment import Deployment
from protocols.deployment.sequences import Sequences
from tests.cli.one_value import one_value
from tests.log.conftest import Chip, session
from trials import tiny

IDEAL, TWIN = "twin:ideal?shape=16x16&seed={index}&state=ideal{index}.h5", "twin:supert-a0-easy?seed=1&shape=8x8"
WITHOUT = {"serve", "monitor", "new-driver", "station init"}
"""They go on until they are stopped, ask the user, or write source code: no results."""


def imssa(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a bundle, its sequences, and targets for an array; a terminal that breaks no line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    tiny.bundle().save(tmp_path / "bundle.safetensors")
    Sequences(*tiny.sequences(), {"float": 0.9, "null": 0.5}).save(tmp_path / "sequences.npz")
    np.save("targets.npy", np.random.default_rng(0).uniform(5e-6, 140e-6, (8, 8)))
    return tmp_path


@pytest.fixture
def run(here: Path) -> Path:
    with record(here / "run.h5", [Chip()], {"command": "bench"}) as (array,), array:
        session(array)
    return here / "run.h5"


def deploy(out: str, *more: object) -> Result:
    return imssa(
        "deploy", "bundle.safetensors", "--sequences", "sequences.npz", "--array", IDEAL, "--out", out, *more
    )


def verbs(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    for child, sub in getattr(command, "commands", {}).items():
        if hasattr(sub, "commands"):
            yield from verbs(sub, f"{name} {child}".strip())
        else:
            yield f"{name} {child}".strip(), sub


def test_every_verb_with_results_takes_it_and_says_the_same_of_it() -> None:
    options = {
        name: [option for option in command.params if "--json" in option.opts]
        for name, command in verbs(typer.main.get_command(app))
    }
    assert {name for name, found in options.items() if not found} == WITHOUT
    assert len({option.help for found in options.values() for option in found}) == 1


@pytest.mark.parametrize("verb", ["show", "verify", "stats", "list", "tail", "repair"])
def test_the_text_goes_to_stderr_and_is_the_same(verb: str, run: Path) -> None:
    words = ("log", verb, run.parent if verb == "list" else run)
    plain, asked = imssa(*words), imssa(*words, "--json")
    assert plain.exit_code == asked.exit_code == 0
    assert plain.stderr == ""
    assert asked.stderr == plain.stdout
    one_value(asked.stdout)
    with pytest.raises(json.JSONDecodeError):  # null control: without the option stdout is for people
        one_value(plain.stdout)


def test_what_log_commands_answer_is_what_the_run_holds(run: Path) -> None:
    with open_run(run) as opened:
        held, summary = statistics(opened) | cell_figures(opened) | stored_bytes(opened), opened.summary()
    assert one_value(imssa("log", "stats", run, "--json").stdout) == held
    assert one_value(imssa("log", "show", run, "--json").stdout)["summary"] == summary
    good = one_value(imssa("log", "verify", run, "--json").stdout)
    assert (good["good"], good["records"], good["findings"]) == (True, 36, [])
    (entry,) = one_value(imssa("log", "list", run.parent, "--json").stdout)
    assert (entry["path"], entry["records"], entry["state"], entry["command"]) == (str(run), 36, "closed", "bench")
    last = one_value(imssa("log", "tail", run, "-n", 3, "--json").stdout)
    assert [one["seq"] for one in last] == [33, 34, 35]
    written = one_value(imssa("log", "export", run, "--out", "tables", "--table", "waits", "--json").stdout)
    assert "tables/waits.csv" in written["files"]


def test_damage_is_found_with_the_exit_code_of_the_text(run: Path) -> None:
    data = run.read_bytes()
    at = data.index(b"x" * 1000)
    run.write_bytes(data[:at] + b"y" + data[at + 1 :])
    asked = imssa("log", "verify", run, "--json")
    told = one_value(asked.stdout)
    assert asked.exit_code == 1
    assert told["good"] is False
    assert all(finding["text"] in asked.stderr for finding in told["findings"])
    assert any(finding["serious"] for finding in told["findings"])


def test_diff_is_a_list_and_an_empty_one_where_nothing_differs(run: Path) -> None:
    with record("other.h5", [Chip()], {}) as (array,):
        array.wait(1)
    assert imssa("log", "diff", run, run, "--json").stdout == "[]\n"
    asked = imssa("log", "diff", run, "other.h5", "--json")
    assert asked.exit_code == 1
    with open_run(run) as one, open_run("other.h5") as two:
        expected = list(differences(one, two))
    assert [
        tuple(row[name] for name in ("part", "what", "one", "two")) for row in one_value(asked.stdout)
    ] == expected


def test_a_tail_without_end_is_refused(run: Path) -> None:
    refused = imssa("log", "tail", run, "--follow", "--json")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "leave one out" in refused.stderr
    assert imssa("log", "tail", run, "--follow").exit_code == 0  # null control


def test_errors_leave_stdout_empty() -> None:
    failed, wrong = imssa("log", "stats", "no.h5", "--json"), imssa("log", "stats", "--json")
    assert (failed.exit_code, failed.stdout, failed.stderr[:7]) == (1, "", "imssa: ")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    after = imssa("log", "list", ".")  # null control: the option ends with its command
    assert "began" in after.stdout


def holds_the_figures(told: dict[str, Any], text: str) -> None:
    accuracy = told["accuracy"]
    for name in ("float", "quantised", "on_arrays", "null_control"):
        assert f"{100 * accuracy[name]:.1f} %" in text
    for level in told["levels"]:
        assert f"{level['requirement']} {level['bound']:g}; is {level['measured']:.4g}" in text
    for words in (f"{told['kernel_nrmse_median']:.4f}", f"{told['pulses']}", f"{told['device_seconds']:.1f} s"):
        assert words in text
    for stage, seconds in told["wall_seconds"].items():
        assert f"wall time, {stage}" in text
        assert f"{seconds:.1f} s" in text
    assert all(Path(path).exists() and path in text for path in told["files"].values())


def test_deploy_recheck_and_replay(here: Path) -> None:
    asked = deploy("one", "--json")
    assert asked.exit_code == 0, asked.output
    told = one_value(asked.stdout)
    holds_the_figures(told, asked.stderr)
    kept = json.loads((here / "one" / "result.json").read_text())
    assert kept == {name: value for name, value in told.items() if name not in ("files", "wall_seconds")}
    replayed = imssa("log", "replay", "one/run.h5", "--json")
    assert f"{one_value(replayed.stdout)['calls']} calls" in replayed.stderr
    for other, words in (
        ("", "twin without a kept state, a new chip each time"),
        ("&state=none.h5", "there is no state none.h5"),
    ):
        refused = imssa("recheck", "one", "--array", f"twin:ideal?shape=16x16&seed={{index}}{other}")
        assert refused.exit_code == 1
        assert words in refused.stderr
        assert "keep the chips of a deployment by state=" in refused.stderr
    again = imssa("recheck", "one", "--json")
    holds_the_figures(one_value(again.stdout), again.stderr)
    assert one_value(again.stdout)["files"]["log"] == "one/run-1.h5"
    page = imssa("report", "one/run-1.h5", "--json")
    assert one_value(page.stdout) == {"files": {"report": page.stderr.strip()}}


def test_a_failed_level_is_an_answer_too(here: Path) -> None:
    (here / "sequences.npz").unlink()
    Sequences(*tiny.sequences(), {"float": 0.9, "null": 1.0}).save(here / "sequences.npz")
    asked = deploy("one", "--json")
    assert asked.exit_code == 3
    assert one_value(asked.stdout)["passed"] is False


@pytest.mark.pictures
def test_the_demo(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = Sequences.load(here / "sequences.npz")
    recipe, sizes = training_recipe("digits-first", Precision(), 0), []

    def trained(
        task: object, config: TrainingConfig, **options: object
    ) -> tuple[object, Sequences, dict[str, float]]:
        """What training gives, without its minute."""
        sizes.append((config.channels, most_channels(config.states, config.layers, 3, (64, 64))))
        return None, sequences, {}

    for name, given in (
        ("settings", _always((None, recipe))),
        ("train_model", trained),
        ("exported", _always(tiny.bundle())),
    ):
        monkeypatch.setattr(f"imssa_lab.cli.arrays.demo.{name}", given)
    asked = imssa("demo", "--out", "demo", "--array", IDEAL, "--json")
    ((channels, most),) = sizes
    assert channels < most  # on three arrays, and places are free for kernels that faults drive out of theirs
    assert recipe.channels > most_channels(recipe.states, recipe.layers, 3, (64, 64))  # which the recipe's do not fit
    assert asked.exit_code == 0, asked.output
    told = one_value(asked.stdout)
    holds_the_figures(told, asked.stderr)
    assert set(told["files"]) == {"bundle", "log", "result", "report"}


def _always(given: object) -> Callable[..., object]:
    return lambda *words, **options: given


def test_program_lists_every_cell_outside(here: Path) -> None:
    words = ("program", "targets.npy", "--array", TWIN, "--recipe", "max_steps=2")
    asked, plain = imssa(*words, "--out", "one", "--json"), imssa(*words, "--out", "two")
    assert asked.exit_code == plain.exit_code == 3
    assert asked.stderr.replace("one", "two") == (plain.stderr + plain.stdout).replace("one", "two")
    told = one_value(asked.stdout)
    assert told["cells"] == 64
    assert (
        len(told["out_of_tolerance"]) == round(64 * (1 - told["in_tolerance"])) > 20
    )  # more than the table of the text shows
    assert (
        f"{len(told['out_of_tolerance'])}, of which the loop believed {told['believed_in_tolerance']} in"
        in plain.stdout
    )
    assert f"mean {1e6 * told['error_mean']:+.2f} uS, sd {1e6 * told['error_sd']:.2f} uS" in plain.stdout
    assert f"{told['pulses']}, at most {told['most_pulses']} to a cell" in plain.stdout
    targets = np.load("targets.npy")
    for cell in told["out_of_tolerance"]:
        assert cell["target"] == targets[cell["word_line"], cell["bit_line"]]
        assert abs(cell["conductance"] - cell["target"]) > told["tolerance"]


def test_a_dry_run_answers_and_drives_nothing(here: Path) -> None:
    words = ("program", "targets.npy", "--array", TWIN, "--out", "night", "--dry-run")
    plain, asked = imssa(*words), imssa(*words, "--json")
    assert asked.stderr == plain.stdout
    told = one_value(asked.stdout)
    assert told["dry_run"] == "program"
    assert f"about {told['expected']['pulses']}, at most {told['longest']['pulses']}" in plain.stdout
    assert f"{told['strongest']['SET']['voltage']:g} V of " in plain.stdout
    assert f"about {told['expected']['cell_reads']}, at most {told['longest']['cell_reads']}" in plain.stdout
    assert f"log about {told['log_bytes'] / 1e6:.1f} MB" in " ".join(plain.stdout.replace("│", " ").split())
    assert not (here / "night").exists()


def test_calibrate(here: Path) -> None:
    asked = imssa("calibrate", "--array", TWIN, "--file", "c.json", "--json")
    told, kept = one_value(asked.stdout), json.loads((here / "c.json").read_text())
    assert {name: told[name] for name in kept} == kept
    assert f"{1e6 * told['rms_before']:.3f}" in asked.stderr
    assert f"{1e6 * told['rms_after']:.3f}" in asked.stderr
    assert told["silent"] == [False] * 8
    assert told["files"]["calibration"] == "c.json"


def test_station_check(here: Path) -> None:
    (here / "station.toml").write_text(f'operator = "A. Student"\n[arrays.left]\naddress = "{TWIN}"\n')
    plain, asked = imssa("station", "check"), imssa("station", "check", "--json")
    assert asked.exit_code == plain.exit_code == 0
    told = one_value(asked.stdout)
    left = told["arrays"]["left"]
    assert (told["good"], told["operator"], left["address"]) == (True, "A. Student", TWIN)
    assert left["info"]["rows"] == left["info"]["cols"] == 8
    assert f"{1e6 * left['info']['window']['high']:g} µS" in plain.stdout
    assert left["calibration"] in plain.stdout


def test_characterise_and_study(here: Path) -> None:
    asked = imssa(
        "characterise",
        "--array",
        "twin:supert-a0-easy?shape=4x4&seed=1",
        "--out",
        "chip",
        "--only",
        "noise",
        "--json",
    )
    files = {"noise": "chip/noise.csv", "log": "chip/run.h5", "report": "chip/report.html"}
    assert one_value(asked.stdout) == {"files": files}
    assert "noise: chip/noise.csv" in asked.stderr
    few = ("--chips", 2, "--fraction", 0.1, "--sigma", 1, "--tests", 20, "--healthy-gaussian")
    studied = imssa("study", "stuck", "--bundle", "bundle.safetensors", "--out", "study", *few, "--json")
    told = one_value(studied.stdout)
    assert [point["arm"] for point in told["points"]] == ["naive", "corrected", "ours"]
    for point in told["points"]:
        assert point["mean"] == pytest.approx(np.mean(point["accuracies"]))
        assert f"{100 * point['mean']:.1f} %" in studied.stderr
    assert all(Path(path).exists() for path in told["files"].values())


def test_data_list() -> None:
    plain, asked = imssa("data", "list", "--root", "."), imssa("data", "list", "--root", ".", "--json")
    assert asked.stderr == plain.stdout
    told = one_value(asked.stdout)
    assert all(name in plain.stdout for name in (*told["tasks"], *told["data"]))


def test_what_is_not_finite_is_null_and_still_replays(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = deployment.deploy

    def broken(*given: Any, **options: Any) -> Deployment:
        outcome = sound(*given, **options)
        nrmse = outcome.kernel_nrmse.copy()
        nrmse[0] = np.nan
        levels = [replace(level, figures={**level.figures, "lost": np.inf}) for level in outcome.levels]
        return replace(outcome, kernel_nrmse=nrmse, levels=levels)

    monkeypatch.setattr(deployment, "deploy", broken)
    asked = deploy("one", "--json")
    assert asked.exit_code == 0, asked.output
    told = one_value((here / "one" / "result.json").read_text())
    assert told["kernel_nrmse"][0] is told["kernel_nrmse_median"] is told["levels"][0]["figures"]["lost"] is None
    assert one_value(asked.stdout)["kernel_nrmse"] == told["kernel_nrmse"]
    assert imssa("log", "replay", "one/run.h5").exit_code == 0
    with open_run("one/run.h5") as run:
        read = outcome_of(run)
    assert read is not None
    np.testing.assert_array_equal(np.isnan(read.result["kernel_nrmse"]), [True, False, False])


def test_numbers_are_written_as_json_dumps_writes_them() -> None:
    values = [1e-05, 1e22, 1.0, 0.1 + 0.2, 5, True, None, "µS", [], {}]
    assert json_text(values) == json.dumps(values, indent=1)  # so that results recorded before replay
    assert json_text([np.float64(0.1), np.int32(3), np.bool_(True), np.array([1.5])]) == json_text(
        [0.1, 3, True, [1.5]]
    )
    with pytest.raises(AttributeError):
        json_text(object())
