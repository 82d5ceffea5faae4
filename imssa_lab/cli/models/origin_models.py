"""The first half of the origin's experiment: recordings, and models trained on them, kept in the study's folder."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imssa_lab.cli.models.sizes import read_shape, sized
from imssa_lab.cli.models.train import exported, train_model, with_epochs
from imssa_lab.cli.shared.session import Stages
from imssa_lab.contract.errors import ConfigError, DataError

if TYPE_CHECKING:
    from imssa_lab.report.origin.origin_figures import Spikes
    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.s4d.tasks import Task
    from imssa_lab.studies.origin_summary import OriginModel
    from protocols.deployment.sequences import Sequences

PRECISION = "three-level"
ARRAYS, SHAPE = 3, "64x64"
_SIZE: dict[str, int | None] = {"channels": 16, "states": 4, "layers": 1}
"""Of the net: it leaves a quarter of the places on three arrays free, for kernels that faults drive out of theirs."""
_INPUTS, _STEPS = 28, 100
ASKED = "task.json"


@dataclass(frozen=True)
class Asked:
    """What recordings and models are made of.

    Attributes:
        data: folder of SHD's files; None for the stand-in. classes: of SHD.
        pairs: recordings that train the stand-in; seeds: models.
        epochs: of float and quantised training, None for the recipe's.
    """

    data: Path | None
    classes: tuple[int, int]
    pairs: int
    seeds: int
    epochs: tuple[int | None, int | None]

    @classmethod
    def of(
        cls, data: Path | None, classes: str, pairs: int, seeds: int, epochs: tuple[int | None, int | None]
    ) -> Asked:
        """From the command line.

        Raises:
            ConfigError: not two classes. DataError: no SHD files in the folder, or those of the stand-in.
        """
        from imssa_lab.s4d.tasks.shd import FILES
        from imssa_lab.s4d.tasks.shd_stand_in import is_stand_in

        words = classes.split(",")
        if len(words) != 2 or not all(word.strip().isdigit() for word in words):
            raise ConfigError(f"--classes {classes!r}: write two classes of SHD, for example 0,1")
        pair = (int(words[0]), int(words[1]))
        if data is None:
            return cls(None, pair, pairs, seeds, epochs)
        folder = data if (data / FILES[0]).is_file() else data / "shd"
        if not all((folder / name).is_file() for name in FILES):
            raise DataError(
                f"{data}: no {' and '.join(FILES)} in it; fetch them with `imssa data download shd`, or leave --data "
                "out for the stand-in of spoken digits"
            )
        if is_stand_in(folder):
            raise DataError(
                f"{folder} holds the stand-in that this package made, not SHD; leave --data out to study the stand-in"
            )
        return cls(folder, pair, pairs, seeds, epochs)

    def keep(self, path: Path, *, resume: bool) -> None:
        """Write it to a new file, or make sure that a study which resumes was begun with the same.

        Raises:
            ConfigError: it was not, or was never begun.
        """
        text = json.dumps(asdict(self) | {"data": None if self.data is None else str(self.data)}, indent=1)
        if not resume:
            path.write_text(text, encoding="utf-8")
        elif not path.exists():
            raise ConfigError(f"{path} is not there; start the study without --resume")
        elif path.read_text(encoding="utf-8") != text:
            raise ConfigError(
                f"{path} says that the study was begun with another --data, --classes, --pairs, --seeds or number of "
                "epochs; resume with those, or choose another --out"
            )

    def folder(self, out: Path) -> Path:
        """Where the recordings are, in the layout of SHD."""
        return out / "data" if self.data is None else self.data

    def task(self, out: Path, seed: int, bars: Stages) -> Task:
        """The task for a model; the stand-in's files are made where they are not there.

        Raises:
            DataError: there are no spoken digits, or recordings are damaged.
        """
        from imssa_lab.s4d.tasks.shd import shd
        from imssa_lab.s4d.tasks.shd_stand_in import stand_in_task, write_stand_in

        if self.data is not None:
            bars("load", 0, 1)
            found = shd(seed, self.classes, _STEPS, _INPUTS, data=self.data)
            bars("load", 1, 1)
            return found
        try:
            write_stand_in(out / "data", self.pairs, progress=lambda done, total: bars("cochlea", done, total))
        except DataError as error:
            error.add_note(
                "this study needs recordings: SHD's with --data FOLDER (imssa data download shd), or spoken digits "
                "for the stand-in (imssa data download fsdd, or IMSSA_DATA)"
            )
            raise
        return stand_in_task(seed, out / "data", _INPUTS, _STEPS)


@dataclass(frozen=True)
class Trained:
    """A model, its sequences, and what they came to in software."""

    bundle: KernelBundle
    sequences: Sequences
    told: OriginModel


def trained(folder: Path, task: Task, seed: int, epochs: tuple[int | None, int | None], bars: Stages) -> Trained:
    """The model of a folder; trained there where it is not, from its checkpoint where there is one.

    Raises:
        TrainingError: a training diverged. ConfigError: the net does not fit on the arrays.
    """
    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.studies.origin_summary import OriginModel
    from protocols.deployment.sequences import Sequences

    told = folder / "model.json"
    bundle, sequences = folder / "bundle.safetensors", folder / "sequences.npz"
    if not told.exists():
        for path in (bundle, sequences, folder / "history.csv"):
            path.unlink(missing_ok=True)  # of a training that was cut off while it wrote them
        _train(folder, task, seed, epochs, bars)
    facts = OriginModel.of(json.loads(told.read_text(encoding="utf-8")))
    return Trained(KernelBundle.load(bundle), Sequences.load(sequences), facts)


def _train(folder: Path, task: Task, seed: int, epochs: tuple[int | None, int | None], bars: Stages) -> None:
    from imssa_lab.mapping.magnitudes import needs
    from imssa_lab.s4d.cost import cost
    from imssa_lab.s4d.quantise.precision import Precision
    from imssa_lab.s4d.train.recipes import training_recipe
    from imssa_lab.s4d.train.training import write_history
    from imssa_lab.studies.origin_summary import OriginModel

    folder.mkdir(parents=True, exist_ok=True)
    started = time.process_time()
    recipe = training_recipe(task.name, Precision.parse(PRECISION), seed)
    config = with_epochs(sized(recipe, _SIZE, None, None, ARRAYS, SHAPE), *epochs)
    checkpoint = folder / "training.checkpoint"
    model, sequences, whole = train_model(task, config, bars=bars, checkpoint=checkpoint)
    bundle = exported(model, task, bars=bars)
    bundle.save(folder / "bundle.safetensors")
    sequences.save(folder / "sequences.npz")
    write_history(model.history, folder / "history.csv")
    asked, counted = needs(bundle, read_shape(SHAPE)), cost(bundle)
    facts = OriginModel(
        seed=seed,
        software=bundle.expected_accuracy,
        floating=whole["float"],
        null=whole["null"],
        test_set=bundle.provenance["test"],
        arrays=asked.arrays,
        kernels=asked.kernels,
        kernel_macs=counted.kernel_macs,
        digital_macs=counted.digital_macs,
        head_macs=counted.head_macs,
        steps=task.steps,
        seconds=time.process_time() - started,
    )
    unfinished = folder / "model.json.new"
    unfinished.write_text(json.dumps(asdict(facts), indent=1), encoding="utf-8")
    os.replace(unfinished, folder / "model.json")
    checkpoint.unlink()


def example_spikes(folder: Path, task: Task, classes: tuple[int, int]) -> tuple[tuple[Spikes, ...], int]:
    """The first test recording of each class, and the channels of the cochlea."""
    import numpy as np

    from imssa_lab.s4d.tasks.shd import CHANNELS, FILES, read_recording

    whole = read_recording(folder / FILES[1])
    found = []
    for number, words in zip(classes, task.labels, strict=True):
        first = int(np.flatnonzero(whole.labels == number)[0])
        found.append((words, whole.times[first].astype("f8"), whole.units[first].astype(np.int64)))
    return tuple(found), CHANNELS
