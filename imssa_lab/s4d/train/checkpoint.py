"""A killed training resumes where it was: its state on disk after every epoch."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from imssa_lab.contract.errors import TrainingError
from imssa_lab.s4d.tasks import Task
from imssa_lab.s4d.train.settings import TrainingConfig


class Checkpoint:
    """One file with the state of every stage of a training.

    The file is replaced as a whole, so that a kill leaves the last epoch's. It holds tensors and plain values only
    and is read without running code of its own.

    Args:
        path: of the file, which need not exist.
        task, config: what is trained and how; another file than theirs is refused.

    Raises:
        TrainingError: the file is damaged, or belongs to another task or configuration.
    """

    def __init__(self, path: str | Path, task: Task, config: TrainingConfig) -> None:
        self.path = Path(path)
        self._stages: dict[str, Any] = {}
        digest = hashlib.sha256(config.model_dump_json().encode())
        for inputs, classes in (task.train, task.validation):
            digest.update(inputs.tobytes() + classes.tobytes())
        self._fingerprint = digest.hexdigest()
        if self.path.exists():
            self._read()

    def stage(self, name: str) -> dict[str, Any] | None:
        """State of a stage after its last whole epoch; None if it has not begun."""
        return self._stages.get(name)

    def save(self, name: str, state: dict[str, Any]) -> None:
        """Keep the state of a stage.

        Raises:
            TrainingError: the file cannot be written.
        """
        self._stages[name] = state
        draft = self.path.with_name(self.path.name + ".part")
        try:
            torch.save({"fingerprint": self._fingerprint, "stages": self._stages}, draft)
            os.replace(draft, self.path)
        except OSError as error:
            raise TrainingError(
                f"checkpoint {self.path} cannot be written ({error}); choose another folder"
            ) from error

    def _read(self) -> None:
        try:
            content = torch.load(self.path, weights_only=True, map_location="cpu")
            found, self._stages = content["fingerprint"], content["stages"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
            raise TrainingError(
                f"checkpoint {self.path} cannot be read ({error}); delete it to train from the start"
            ) from error
        if found != self._fingerprint:
            raise TrainingError(
                f"checkpoint {self.path} belongs to another task, seed or configuration; resume with the settings it "
                "was made with, or choose another path"
            )
