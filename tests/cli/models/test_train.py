"""`imssa train` and `imssa sweep-bits`, on trainings of a second."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.cli.models.hardening import hardened, measured_errors
from imssa_lab.cli.models.train import read_options
from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.train.epochs import Fit
from imssa_lab.s4d.train.recipes import training_recipe
from tests.cli.one_value import one_value
from twin import TwinProfile

SMALL = ["--option", "pairs_train=128", "--option", "pairs_validation=64", "--option", "pairs_test=64"]


def imssa(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def train(folder, *more):
    return imssa("train", "--file", folder / "bundle.safetensors", "--epochs-float", 2, *SMALL, *more)


def test_train_writes_bundle_sequences_and_curve(tmp_path):
    result = train(tmp_path, "--epochs-quantised", 1, "--precision", "ternary, head=8", "--distil", 0.5)
    assert result.exit_code == 0, result.output
    training = json.loads(KernelBundle.load(tmp_path / "bundle.safetensors").provenance["training"])
    assert (training["full"]["distillation"], training["quantised"]["distillation"]) == (0.0, 0.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.safetensors", "history.csv", "sequences.npz"]
    assert KernelBundle.load(tmp_path / "bundle.safetensors").precision == "ternary, head=8"
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 1 + 2 + 1
    assert "null control without memory" in result.output
    again = train(tmp_path)
    assert again.exit_code == 1
    assert "nothing was overwritten" in again.output


def test_a_float_model_is_a_bundle_too(tmp_path):
    result = train(tmp_path, "--precision", "float", "--no-null", "--json")
    assert result.exit_code == 0, result.output
    told = one_value(result.stdout)
    assert told["accuracy"]["null_control"] is None
    assert f"{100 * told['accuracy']['quantised']:.1f} % (" in result.stderr
    assert told["files"]["bundle"] == str(tmp_path / "bundle.safetensors")
    assert KernelBundle.load(tmp_path / "bundle.safetensors").activation_bits is None


def test_a_cut_training_is_named_and_goes_on(tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    whole.mkdir()
    assert train(whole, "--epochs-quantised", 2, "--no-null").exit_code == 0
    epoch = Fit._epoch

    def cut(fit, number):
        if fit._name == "ternary" and number == 2:
            raise KeyboardInterrupt
        return epoch(fit, number)

    monkeypatch.setattr(Fit, "_epoch", cut)
    assert train(tmp_path, "--epochs-quantised", 2, "--no-null").exit_code == 130
    monkeypatch.undo()
    assert "cut off; add --resume" in train(tmp_path, "--epochs-quantised", 2, "--no-null").output
    assert "another task, seed or configuration" in train(tmp_path, "--seed", 1, "--resume", "--no-null").output
    resumed = train(tmp_path, "--epochs-quantised", 2, "--resume", "--no-null")
    assert resumed.exit_code == 0, resumed.output
    digests = {KernelBundle.load(folder / "bundle.safetensors").digest() for folder in (whole, tmp_path)}
    assert len(digests) == 1
    assert not (tmp_path / "bundle.checkpoint").exists()
    assert "no" in train(whole, "--resume").output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--precision", "9bit"], "choose float, ternary or 2bit to 8bit"),
        (["--task", "digits"], "no such task; choose one of digits-first"),
        (["--option", "pairs"], "write name=value"),
        (["--option", "speaker=theo"], "no option 'speaker'"),
        (["--resume"], "there is no"),
        (["--file", "nowhere/model"], "does not exist"),
    ],
)
def test_mistakes_are_named(tmp_path, arguments, says):
    result = imssa("train", "--file", tmp_path / "bundle", *arguments)
    assert result.exit_code == 1
    assert says in result.output
    assert list(tmp_path.iterdir()) == []


def test_hardening_takes_what_a_twin_of_the_profile_was_measured_to_do():
    config = training_recipe("fsdd-order", Precision.parse("ternary"), 0)
    easy, board = (measured_errors(name) for name in ("supert-a0-easy", "supert-a0"))
    chip = TwinProfile.load("supert-a0-easy")
    assert easy.window == (chip.window.low, chip.window.high)
    accepted = chip.recipe.tolerance_in / 3**0.5
    assert easy.sigma[4] > 1.3 * accepted, "relaxation and the noise of a read come on top of what the loop accepts"
    assert easy.sigma[0] < 0.5 * easy.sigma[4], "a cell at the bottom stays there"
    assert board.stuck_on + board.stuck_off > 5 * (easy.stuck_on + easy.stuck_off)
    assert easy.stuck_on + easy.stuck_off < 0.02 < board.stuck_on + board.stuck_off < 0.12
    stage = hardened(config, "supert-a0").quantised
    assert stage.cell_errors == board.model_copy(update={"stuck_on": 0.0, "stuck_off": 0.0}), "deployments avoid them"
    assert stage.cell_errors.by_column
    assert stage.kernel_errors > 0
    ideal = measured_errors("ideal")
    assert max(ideal.sigma) < 1e-9
    assert ideal.stuck_on == ideal.stuck_off == 0.0
    assert hardened(config, None) == config


def test_hardening_by_a_fraction_assumes_errors_of_that_size():
    config = training_recipe("digits-first", Precision.parse("ternary"), 0)
    assert hardened(config, "0.1").quantised.cell_errors == CellErrors.relative(0.1)
    assert hardened(config, "0.1").full == config.full
    for wrong in ("0", "1", "-0.1", "nan"):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            hardened(config, wrong)


def test_options_of_a_task():
    assert read_options(["a=3", "b=0.5", "c=theo", "d=1,2", "e="]) == {
        "a": 3,
        "b": 0.5,
        "c": "theo",
        "d": (1, 2),
        "e": "",
    }


def test_sweep_bits_prints_draws_and_keeps_its_points(tmp_path, monkeypatch):
    monkeypatch.setattr("imssa_lab.s4d.train.bit_sweep.training_recipe", short_recipe)
    arguments = ["sweep-bits", "--out", tmp_path, "--precisions", "float;4bit", "--seeds", 2, *SMALL]
    result = imssa(*arguments)
    assert result.exit_code == 0, result.output
    assert "PTQ" in result.output
    points = [json.loads(line) for line in (tmp_path / "points.jsonl").read_text().splitlines()]
    assert [(point["precision"], point["seed"]) for point in points] == [
        ("float", 0),
        ("4bit", 0),
        ("float", 1),
        ("4bit", 1),
    ]
    assert (tmp_path / "bits.svg").read_text().startswith("<?xml")
    assert imssa(*arguments).output == result.output
    asked = imssa(*arguments, "--json")
    assert sorted(one_value(asked.stdout)["points"], key=str) == sorted(points, key=str)
    assert asked.stderr == result.stdout
    assert "names none" in imssa("sweep-bits", "--out", tmp_path, "--precisions", " ;").output


def short_recipe(task, precision, seed):
    config = training_recipe(task, precision, seed)
    stages = {name: getattr(config, name).model_copy(update={"epochs": 1}) for name in ("full", "quantised")}
    return config.model_copy(update={"channels": 4, "states": 1, **stages})


def test_a_pruned_net_is_trained_further_also_after_a_stop(tmp_path, monkeypatch):
    sizes = ("--channels", 6, "--states", 2, "--layers", 1, "--prune-channels", 4, "--prune-states", 1)
    asked = ("--epochs-quantised", 2, "--precision", "8bit", "--no-null", *sizes)
    whole, folder = tmp_path / "whole", tmp_path / "cut"
    for each in (whole, folder):
        each.mkdir()
    result = train(whole, *asked, "--json")
    assert result.exit_code == 0, result.output
    assert one_value(result.stdout)["size"] == {"channels": 4, "layers": 1, "states": 1}
    assert sorted(path.name for path in whole.iterdir()) == ["bundle.safetensors", "history.csv", "sequences.npz"]
    made = KernelBundle.load(whole / "bundle.safetensors")
    assert made.layers[0].b.shape == (4, 1, 2)
    epoch = Fit._epoch

    def cut(fit, number):
        if fit._name == "8bit" and number == 2:
            raise KeyboardInterrupt
        return epoch(fit, number)

    with monkeypatch.context() as patched:
        patched.setattr(Fit, "_epoch", cut)
        assert train(folder, *asked).exit_code != 0
    assert (folder / "bundle.pruned.checkpoint").exists()
    result = train(folder, *asked, "--resume")
    assert result.exit_code == 0, result.output
    assert KernelBundle.load(folder / "bundle.safetensors").digest() == made.digest()
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.safetensors", "history.csv", "sequences.npz"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--prune-channels", 50], "this model has 32; ask for 1 to 32"),
        (["--prune-states", 2, "--precision", "float"], "this one is float; choose few bits"),
    ],
)
def test_what_cannot_be_pruned_is_named_before_a_training(tmp_path, monkeypatch, more, says):
    monkeypatch.setattr(Fit, "_epoch", lambda fit, number: pytest.fail("trained"))
    result = train(tmp_path, "--no-null", *more)
    assert result.exit_code == 1
    assert says in " ".join(result.output.split())


def test_values_are_trained_shown_and_deployed(tmp_path):
    random = np.random.default_rng(0)
    sequences = random.normal(size=(160, 10))
    force = 3.0 + (sequences * 0.7 ** np.arange(10)[::-1]).sum(axis=1)
    np.savez(tmp_path / "mine.npz", sequences=sequences, values=force, value_names=np.array(["force"]))
    sizes = ("--channels", 3, "--states", 1, "--layers", 1, "--pooling", "last", "--epochs-quantised", 1)
    asked = ("--file", tmp_path / "bundle.safetensors", "--epochs-float", 2, "--precision", "8bit", *sizes)
    result = imssa("train", "--task", tmp_path / "mine.npz", *asked, "--json")
    assert result.exit_code == 0, result.output
    told = one_value(result.stdout)["nrmse"]
    assert set(told) >= {"float", "quantised", "null_control", "linear", "linear_interval"}
    assert told["linear"] < 1e-3
    assert told["linear_interval"][0] <= told["linear"] <= told["linear_interval"][1]
    assert f"{told['quantised']:.3f} ({told['quantised_interval'][0]:.3f} to " in result.stderr
    assert "accuracy" not in result.stderr
    shown = imssa("bundle", "show", tmp_path / "bundle.safetensors")
    assert "force" in shown.output
    assert f"{told['quantised']:.3f} (" in shown.output
    where = ("--array", "twin:ideal?seed={index}", "--out", tmp_path / "run", "--json")
    done = imssa("deploy", tmp_path / "bundle.safetensors", "--sequences", tmp_path / "sequences.npz", *where)
    assert done.exit_code in (0, 3), done.output  # two epochs: whether memory is needed is no matter here
    result = one_value(done.stdout)
    assert result["nrmse"]["quantised"] == pytest.approx(told["quantised"], abs=1e-6)
    assert result["nrmse"]["on_arrays"] == pytest.approx(told["quantised"], abs=0.05)
    assert "accuracy" not in result
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"NRMSE {result['nrmse']['on_arrays']:.4f}" in page


def test_baselines_of_values_are_nrmse(tmp_path):
    random = np.random.default_rng(0)
    np.savez(tmp_path / "series.npz", series=random.normal(size=500).cumsum())
    result = imssa("baseline", "--task", tmp_path / "series.npz", "--option", "window=6", "--epochs", 1, "--json")
    assert result.exit_code == 0, result.output
    told = one_value(result.stdout)
    assert told["models"][0]["measure"] == "nrmse"
    assert {row["unit"] for row in told["models"]} == {"stretches of 7 steps"}
    linear = next(row for row in told["models"] if row["model"] == "linear")
    assert linear["test"] < 0.9
