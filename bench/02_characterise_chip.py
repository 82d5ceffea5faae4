"""Characterise a chip: stuck cells, pulse response, relaxation, noise, I-V, columns, as tables for `imssa fit`.

    python bench/02_characterise_chip.py --array "twin:supert-a0?seed=1" --out chip-1 --only programming,noise

Pulses cells, except by `noise`, `iv` and `columns`: what the array holds is lost.
"""

import argparse
from pathlib import Path

from imssa_lab import GIVEN_RECIPE, Characterisation, DigitalTwin, Schedule, open_array, recipe_of, record

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--array", default="twin:supert-a0?seed=1", help="address; replay:FILE repeats a session")
parser.add_argument("--out", type=Path, default=Path("characterise-chip"), help="new folder")
parser.add_argument("--only", default="", help="experiments, with commas; all without")
parser.add_argument("--recipe", help="profile whose recipe pulses the cells; else the station's, else supert-a0's")
parser.add_argument("--schedule", default="{}", help="JSON that changes how long and how often")
choices = parser.parse_args()
choices.out.mkdir(parents=True)
only = [name for name in choices.only.split(",") if name] or None

with (
    record(choices.out / "run.h5", [open_array(choices.array)], {"script": "02_characterise_chip"}) as (array,),
    array,
):
    schedule = Schedule.model_validate_json(choices.schedule)
    given = choices.recipe is None and GIVEN_RECIPE in array.info.provenance
    recipe = recipe_of(array if given else DigitalTwin(choices.recipe or "supert-a0"))
    work = Characterisation(array, choices.out / "tables", schedule=schedule, recipe=recipe, only=only)
    print(work.plan())
    for name, path in work.run(lambda stage, count, total: None).items():
        print(f"{name}: {path}")
print(f"all of it: {choices.out / 'run.h5'}")
