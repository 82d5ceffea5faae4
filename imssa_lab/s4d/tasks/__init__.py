"""Tasks that need memory, behind one interface: `load_task(name, seed)` gives a `Task`."""

from imssa_lab.s4d.tasks.digits import digits_first
from imssa_lab.s4d.tasks.own.own_data import task_of
from imssa_lab.s4d.tasks.own.own_values import forecast_of, regression_of
from imssa_lab.s4d.tasks.task import Augmentation, NullControl, Split, Task
from imssa_lab.s4d.tasks.task_names import CATALOGUE, TASKS, load_task

__all__ = [
    "CATALOGUE",
    "TASKS",
    "Augmentation",
    "NullControl",
    "Split",
    "Task",
    "digits_first",
    "forecast_of",
    "load_task",
    "regression_of",
    "task_of",
]
