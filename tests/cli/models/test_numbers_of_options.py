"""Options that are numbers take none that is no number."""

import inspect
import typing
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.cli.models.trial_runs import count_of_tests
from imssa_lab.contract.errors import ConfigError
from imssa_lab.studies.trials import plan
from protocols.deployment.sequences import Sequences
from trials import tiny


def options_of_numbers(verbs: typer.Typer, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Commands, each with one of its options whose values are floats."""
    for group in verbs.registered_groups:
        if group.typer_instance is not None:
            yield from options_of_numbers(
                group.typer_instance, (*words, str(group.name or group.typer_instance.info.name))
            )
    for command in verbs.registered_commands:
        assert command.callback is not None
        verb = command.name or command.callback.__name__.replace("_", "-")
        for name, part in inspect.signature(command.callback, eval_str=True).parameters.items():
            if "float" in str(typing.get_args(part.annotation)[:1]):
                yield (*words, verb, f"--{name.replace('_', '-')}")


NUMBERS = list(options_of_numbers(app))


def test_they_are_found() -> None:
    assert len(NUMBERS) > 12
    assert ("deploy", "--max-seconds") in NUMBERS
    assert ("study", "stuck", "--fraction") in NUMBERS


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("words", NUMBERS, ids=" ".join)
def test_what_is_no_number_is_wrong_usage(words: tuple[str, ...], value: str) -> None:
    done = CliRunner().invoke(app, [*words, value])
    assert done.exit_code == 2
    assert "finite number is needed" in done.stderr or "Input should be" in done.stderr


@pytest.mark.parametrize(
    ("stuck", "sigmas", "said"),
    [
        ([1.5], [None], "1.5: it lies between 0 and 1"),
        ([-0.1], [None], "-0.1: it lies between"),
        ([float("nan")], [None], "nan: it lies"),
        ([0.0], [-1e-6], "programming error -1e-06"),
        ([0.0], [float("inf")], "programming error inf"),
        ([0.1, 0.0, 0.1], [None], "0.1 is given twice"),
        ([0.1], [1e-6, 1e-6], "1e-06 is given twice"),
    ],
)
def test_a_study_of_what_no_chip_can_be_is_refused(stuck: list[float], sigmas: list[float | None], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(stuck, sigmas, 1)
    assert len(plan([0.0, 1.0, None], [None, 0.0], 2, ["ours"])) == 12


def test_more_test_sequences_than_there_are_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    there = Sequences(*tiny.sequences(), {"null": 0.5})
    count = len(there.test_labels)
    assert count_of_tests(count, there) == count
    assert capsys.readouterr().err == ""
    assert count_of_tests(count + 1, there) == count
    assert f"{count} test sequences in each trial" in capsys.readouterr().err
