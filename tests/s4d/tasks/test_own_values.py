"""Values of your own: each kind of file gives what it holds, and what does not fit is named."""

from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.tasks import Task, forecast_of, load_task, regression_of, task_of

COUNT = 60
RNG = np.random.default_rng(0)
SEQUENCES = RNG.normal(3.0, 2.0, (COUNT, 7, 2))
VALUES = np.stack([SEQUENCES[:, 0, 0], 100.0 + SEQUENCES[:, -1, 1]], axis=1)


def raw(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """All inputs and values, the splits one after the other."""
    parts = (task.train, task.validation, task.test)
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def test_values_keep_their_unit_and_their_sequence() -> None:
    task = regression_of("mine", SEQUENCES, VALUES, names=["first", "last"])
    inputs, values = raw(task)
    assert (task.goal, task.labels, [len(part[1]) for part in (task.train, task.test)]) == (
        "values",
        ("first", "last"),
        [42, 12],
    )
    assert sorted(values[:, 1]) == sorted(VALUES[:, 1])
    for seen, value in ((inputs[:, 0, 0], values[:, 0]), (inputs[:, -1, 1], values[:, 1])):
        assert np.corrcoef(seen, value)[0, 1] > 0.999999  # inputs are scaled, values are not
    assert regression_of("mine", SEQUENCES, VALUES[:, 0]).labels == ("value",)


def test_groups_are_what_counts() -> None:
    groups = np.arange(COUNT) // 3
    task = regression_of("mine", SEQUENCES, VALUES, groups=groups, unit="devices")
    assert task.scored(task.test[1]).units == 4
    assert task.unit == "devices"
    split = np.repeat(["train", "test", "validation"], [42, 12, 6])
    with pytest.raises(DataError, match=r"one independent recording.*devices"):
        regression_of("mine", SEQUENCES, VALUES, groups=np.where(split == "test", 1, 0), split=split, unit="devices")


def test_shorter_sequences_may_be_filled_up_at_their_start() -> None:
    ragged = [row[: 3 + number % 5] for number, row in enumerate(SEQUENCES)]
    ends = np.array([row[-1, 0] for row in ragged])
    task = regression_of("mine", ragged, ends, fill="start")
    inputs, values = raw(task)
    assert np.corrcoef(inputs[:, -1, 0], values[:, 0])[0, 1] > 0.999999
    assert "filled up to 7 with zeros at their start" in task.preprocessing
    assert (inputs[:, 0] == 0).all(axis=1).sum() == COUNT - sum(len(row) == 7 for row in ragged)
    at_end = regression_of("mine", ragged, ends)
    assert abs(np.corrcoef(raw(at_end)[0][:, -1, 0], raw(at_end)[1][:, 0])[0, 1]) < 0.9
    labelled = task_of("mine", ragged, np.arange(COUNT) % 2, fill="start")
    assert (labelled.train[0][:, -1] != 0).all()
    with pytest.raises(DataError, match="at their end or at their start"):
        regression_of("mine", ragged, ends, fill="middle")  # type: ignore[arg-type]


def test_a_forecast_looks_ahead_by_its_horizon_and_never_into_the_past_part() -> None:
    series = [np.stack([np.arange(n, dtype=float), np.sin(np.arange(n))], axis=1) for n in (100, 120)]
    task = forecast_of("clock", series, window=5, horizon=3, targets=[0], standardise=False)
    assert (task.pooling, task.labels, task.steps) == ("last", ("input 0, 3 steps later",), 5)
    for inputs, values in (task.train, task.validation, task.test):
        assert np.array_equal(inputs[:, -1, 0] + 3, values[:, 0])
        assert (np.diff(inputs[..., 0], axis=1) == 1).all()
    ends = [part[1][np.append(np.diff(part[0][:, 0, 0]) != 1, True), 0].tolist() for part in (task.train, task.test)]
    assert ends == [[69, 83], [99, 119]]
    assert task.validation[0][0, 0, 0] == 70
    assert task.test[0][0, 0, 0] == 80
    assert task.scored(task.test[1]).units == 3 + 3  # 80 to 99 and 96 to 119, in stretches of 8 steps
    assert task.test_units is not None
    assert (np.diff(task.test_units, axis=1) <= 1).all()
    scaled = forecast_of("clock", series, window=5, targets=[0])
    assert np.array_equal(scaled.test[1][:3, 0], [85.0, 86.0, 87.0]), "what is forecast keeps its unit"
    assert abs(scaled.train[0][..., 0].mean()) < 0.1


def save(path: Path, **arrays: object) -> str:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def test_files_of_values_and_series(tmp_path) -> None:
    groups = np.arange(COUNT) // 3
    path = save(
        tmp_path / "mine.npz", sequences=SEQUENCES, values=VALUES, value_names=np.array(["a", "b"]), groups=groups
    )
    found, wanted = load_task(path, 0), regression_of("mine", SEQUENCES, VALUES, names=["a", "b"], groups=groups)
    assert found.labels == wanted.labels
    for part in ("train", "validation", "test"):
        assert all(np.array_equal(a, b) for a, b in zip(found.load(part), wanted.load(part), strict=True))  # type: ignore[arg-type]
    series = np.sin(np.arange(400) / 5)[:, None]
    path = save(tmp_path / "series.npz", series=series)
    found = load_task(path, 0, window=20, horizon=4)
    assert np.array_equal(found.test[1], forecast_of("series", [series], window=20, horizon=4).test[1])
    both = save(tmp_path / "two.npz", series=np.stack([series, 2 * series]), targets=np.array([0]))
    assert len(load_task(both, 0, window=20).test[1]) == 2 * len(load_task(path, 0, window=20).test[1])


def test_ts_files_of_values(tmp_path) -> None:
    lines = [
        f"{','.join(map(str, row[:, 0]))}:{','.join(map(str, row[:, 1]))}:{value}"
        for row, value in zip(SEQUENCES, VALUES[:, 1], strict=True)
    ]
    head = "@problemName mine\n@timeStamps false\n@targetLabel true\n@data\n"
    path = tmp_path / "mine_TRAIN.ts"
    path.write_text(head + "\n".join(lines[:40]) + "\n")
    (tmp_path / "mine_TEST.ts").write_text(head + "\n".join(lines[40:]) + "\n")
    task = load_task(str(path), 0)
    assert (task.goal, task.name) == ("values", "mine")
    assert task.test[1][:, 0] == pytest.approx(VALUES[40:, 1])
    (tmp_path / "mine_TEST.ts").write_text("@classLabel true a b\n@data\n1,2:3,4:a\n")
    with pytest.raises(DataError, match="one of the two files holds classes"):
        load_task(str(path), 0)
    path.write_text(head + "1,2:3,4:high\n")
    with pytest.raises(DataError, match=r"line 5.*high"):
        load_task(str(path), 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"values": VALUES[:-1]}, "values of shape"),
        ({"values": np.array(["x"] * COUNT)}, "not all numbers"),
        ({"values": np.where(np.arange(COUNT) == 3, np.nan, VALUES[:, 0])}, "sequence 3 is nan"),
        ({"values": np.ones(COUNT)}, "never changes in train"),
        ({"value_names": np.array(["a", "a"])}, "one name each"),
    ],
)
def test_values_that_do_not_fit_are_named(change, words, tmp_path) -> None:
    path = save(tmp_path / "mine.npz", **{"sequences": SEQUENCES, "values": VALUES, **change})
    with pytest.raises(DataError, match=words):
        load_task(path, 0)


def test_series_that_do_not_fit_are_named(tmp_path) -> None:
    series = np.sin(np.arange(100.0))
    with pytest.raises(DataError, match="series 0 has 100 steps: too few for a window of 20 and 5 more in its part"):
        forecast_of("s", [series], window=20, horizon=5)
    with pytest.raises(DataError, match="targets"):
        forecast_of("s", [series], window=4, targets=[1])
    with pytest.raises(DataError, match="one or more"):
        forecast_of("s", [series], window=0)
    with pytest.raises(DataError, match="never change in the training part"):
        forecast_of("s", [np.ones(100)], window=4)
    with pytest.raises(ConfigError, match="--option window=100"):
        load_task(save(tmp_path / "s.npz", series=series), 0)
    with pytest.raises(ConfigError, match="of a forecast"):
        load_task(save(tmp_path / "m.npz", sequences=SEQUENCES, values=VALUES), 0, window=3)
