"""Anybody's data: each kind of file gives the sequences that it holds, and what does not fit is named."""

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.tasks import Task, load_task, task_names, task_of

COUNT, STEPS, INPUTS = 60, 7, 3


def made(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(3.0, 2.0, (COUNT, STEPS, INPUTS)), np.array(["no", "yes"] * (COUNT // 2))


def whole(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """All sequences and classes, the splits one after the other."""
    parts = (task.train, task.validation, task.test)
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def is_the_same_up_to_scale(task: Task, sequences: np.ndarray, labels: np.ndarray) -> None:
    """Every sequence is there once with its class, standardised by the training split."""
    inputs, classes = whole(task)
    flat = task.train[0].reshape(-1, inputs.shape[2]).astype(np.float64)
    assert flat.mean(axis=0) == pytest.approx(0.0, abs=1e-5)
    assert flat.std(axis=0) == pytest.approx(1.0, abs=1e-4)
    raw = sequences.reshape(-1, inputs.shape[2])
    order = np.argsort(sequences[:, 0, 0])
    found = np.argsort(inputs[:, 0, 0])
    scale = np.polyfit(inputs[found][..., 0].ravel(), sequences[order][..., 0].ravel(), 1)
    assert np.polyval(scale, inputs[found][..., 0]) == pytest.approx(sequences[order][..., 0], abs=1e-4)
    assert [task.labels[number] for number in classes[found]] == labels[order].tolist()
    assert len(raw) == COUNT * STEPS


def test_arrays_become_splits_of_every_class() -> None:
    sequences, labels = made()
    task = task_of("mine", sequences, labels)
    is_the_same_up_to_scale(task, sequences, labels)
    assert [len(part[1]) for part in (task.train, task.validation, task.test)] == [42, 6, 12]
    assert all((np.bincount(part[1]) == len(part[1]) // 2).all() for part in (task.train, task.validation, task.test))
    again, other = task_of("mine", sequences, labels), task_of("mine", sequences, labels, seed=1)
    assert np.array_equal(again.test[0], task.test[0])
    assert not np.array_equal(other.test[0], task.test[0])


def test_a_group_is_in_one_split_and_is_what_counts() -> None:
    sequences, labels = made()
    groups = np.repeat(np.arange(10), 6)
    marked = sequences.copy()
    marked[:, 0, 1] = 100.0 * groups
    task = task_of("mine", marked, labels, groups=groups, unit="speakers")
    seen = [set(np.round(part[0][:, 0, 1], 4).tolist()) for part in (task.train, task.validation, task.test)]
    assert sum(map(len, seen)) == 10
    assert task.scored(task.test[1]).units == 2
    assert task.unit == "speakers"


def test_a_split_of_ones_own_is_kept() -> None:
    sequences, labels = made()
    split = np.array(["train"] * 40 + ["test"] * 20)
    task = task_of("mine", sequences, labels, split=split)
    assert [len(part[1]) for part in (task.train, task.validation, task.test)] == [36, 4, 20]
    assert [task.labels[number] for number in task.test[1]] == labels[40:].tolist()


def test_shorter_sequences_are_filled_up_and_it_is_said() -> None:
    sequences, labels = made()
    ragged = [row[: 3 + number % 5] for number, row in enumerate(sequences)]
    task = task_of("mine", ragged, labels)
    assert task.steps == STEPS
    assert "filled up to 7" in task.preprocessing
    inputs, _ = whole(task)
    lengths = np.sort([np.flatnonzero(row.any(axis=1)).max() + 1 for row in inputs])
    assert lengths.tolist() == sorted(len(row) for row in ragged)


def test_npz_csv_and_ts_give_the_same(tmp_path: Path) -> None:
    sequences, labels = made()
    sequences = sequences.round(6)
    np.savez(tmp_path / "mine.npz", sequences=sequences, labels=labels)
    for number, (row, label) in enumerate(zip(sequences, labels, strict=True)):
        (tmp_path / "mine" / label).mkdir(parents=True, exist_ok=True)
        np.savetxt(tmp_path / "mine" / label / f"{number}.csv", row, delimiter=",", header="a,b,c", comments="")
    lines = [
        ":".join(",".join(map(str, column)) for column in row.T) + f":{label}"
        for row, label in zip(sequences, labels, strict=True)
    ]
    head = "# ours\n@problemName mine\n@timestamps false\n@classLabel true no yes\n@data\n"
    (tmp_path / "mine.ts").write_text(head + "\n".join(lines) + "\n")
    for name in ("mine.npz", "mine", "mine.ts"):
        is_the_same_up_to_scale(load_task(str(tmp_path / name), 0), sequences, labels)


def test_the_other_half_of_a_ts_file_is_the_test_split(tmp_path: Path) -> None:
    """The layout of the archive's multivariate sets, JapaneseVowels for one: unequal lengths, classes by number."""
    rng = np.random.default_rng(0)
    for part, count in (("TRAIN", 20), ("TEST", 8)):
        rows = [rng.normal(size=(2, rng.integers(4, 9))) for _ in range(count)]
        text = [
            ":".join(",".join(map(str, column)) for column in row) + f":{number % 2 + 1}"
            for number, row in enumerate(rows)
        ]
        (tmp_path / f"Vowels_{part}.ts").write_text("@equalLength false\n@data\n" + "\n".join(text))
    task = load_task(str(tmp_path / "Vowels_TRAIN.ts"), 0)
    assert (task.name, task.inputs, len(task.test[1]), task.labels) == ("Vowels", 2, 8, ("1", "2"))


def test_spikes_are_counted(tmp_path: Path) -> None:
    """Sequence k has k % 3 + 1 spikes of unit k % 2 in the first half and one of unit 0 at the end."""
    owners = np.concatenate([np.full(k % 3 + 2, k) for k in range(12)])
    times = np.concatenate([[*np.full(k % 3 + 1, 0.2), 1.0] for k in range(12)])
    units = np.concatenate([[*np.full(k % 3 + 1, k % 2), 0] for k in range(12)])
    np.savez(
        tmp_path / "s.npz", spike_times=times, spike_units=units, spike_sequences=owners, labels=np.arange(12) % 2,
        split=["train"] * 8 + ["test"] * 4,
    )  # fmt: skip
    task = load_task(str(tmp_path / "s.npz"), 0, steps=2)
    assert (task.steps, task.inputs, len(task.test[1])) == (2, 2, 4)
    first = task.test[0][:, 0, :]
    assert (np.diff(first[[0, 2, 1, 3]], axis=0)[[0, 2]] != 0).any(axis=1).all()


BAD: dict[str, tuple[dict[str, object], str]] = {
    "not finite": (
        {"sequences": np.where(np.arange(COUNT * 21).reshape(COUNT, 7, 3) == 25, np.nan, 1.0)},
        "sequence 1, step 1, input 1 is nan",
    ),
    "one label too few": ({"labels": ["a"] * 59}, "60 sequences and labels of shape"),
    "one class": ({"labels": ["a"] * COUNT}, "one class only"),
    "constant": ({"sequences": np.ones((COUNT, 7, 3))}, "never change"),
    "unknown split": ({"split": ["later"] * COUNT}, "split must hold"),
    "no test": ({"split": ["train"] * COUNT}, "no sequence for test"),
    "class not learnt": ({"split": np.where(np.arange(COUNT) % 2, "train", "test")}, "is not in the training split"),
    "groups": ({"groups": np.arange(5)}, "groups of shape"),
    "two groups": ({"groups": np.arange(COUNT) % 2}, "no sequence for"),
    "shape": ({"sequences": np.ones((COUNT, 2, 2, 2))}, "wanted are"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_named(name: str) -> None:
    changes, says = BAD[name]
    sequences, labels = made()
    given = {"sequences": sequences, "labels": labels, **changes}
    with pytest.raises(DataError, match=says):
        task_of("mine", **given)  # type: ignore[arg-type]


def test_files_that_are_none_are_named_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text("@data\n1,2:3,4:x\n1,?:3,4:y\n")
    with pytest.raises(DataError, match="line 3"):
        load_task(str(tmp_path / "a.ts"), 0)
    (tmp_path / "a.ts").write_text("@timestamps true\n@data\n")
    with pytest.raises(DataError, match="time stamps"):
        load_task(str(tmp_path / "a.ts"), 0)
    (tmp_path / "f" / "x").mkdir(parents=True)
    (tmp_path / "f" / "x" / "1.csv").write_text("1,2\n1\n")
    with pytest.raises(DataError, match=r"1\.csv, line 2: 1 values"):
        load_task(str(tmp_path / "f"), 0)
    (tmp_path / "b.npz").write_bytes(b"no")
    with pytest.raises(DataError, match=r"readable \.npz"):
        load_task(str(tmp_path / "b.npz"), 0)
    with pytest.raises(DataError, match="no such file"):
        load_task(str(tmp_path / "c.npz"), 0)
    with pytest.raises(ConfigError, match=r"or give the path of an \.npz file"):
        load_task(str(tmp_path / "d"), 0)


def packaged(seed: int, count: int = 30) -> Task:
    sequences, labels = made(seed)
    return task_of("packaged", sequences[:count], labels[:count], seed=seed)


def test_packages_bring_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("theirs", f"{__name__}:packaged", task_names.GROUP)
    monkeypatch.setattr(task_names, "entry_points", lambda group: EntryPoints([point]).select(group=group))
    assert len(whole(load_task("theirs", 0, count=40))[0]) == 40
    with pytest.raises(ConfigError, match="it takes count"):
        load_task("theirs", 0, size=3)
    with pytest.raises(ConfigError, match=r"digits-first.*theirs"):
        load_task("nobody's", 0)
