"""Put trained kernels on arrays and verify them on four levels.

    python bench/04_deploy_kernels.py --array "twin:supert-a0?seed={index}" --out night-1 \
        --bundle model/bundle.safetensors --sequences model/sequences.npz

`imssa train --file model/bundle.safetensors` writes both files. Pulses cells: what the arrays hold is lost.
"""

import argparse
from pathlib import Path

from imssa_lab import DeploymentChoices, KernelBundle, Sequences, deploy, open_arrays, record

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--array", default="twin:supert-a0?seed={index}", help="address; {index} counts the arrays")
parser.add_argument("--out", type=Path, default=Path("deploy-kernels"), help="new folder")
parser.add_argument("--bundle", type=Path, required=True)
parser.add_argument("--sequences", type=Path, required=True)
parser.add_argument("--arrays", type=int, default=1, help="how many to open")
parser.add_argument("--vectors", type=int, default=None, help="most products a read, for boards that take few")
choices = parser.parse_args()
choices.out.mkdir(parents=True)
bundle, sequences = KernelBundle.load(choices.bundle), Sequences.load(choices.sequences)

opened = open_arrays(choices.array, choices.arrays)
try:
    with record(choices.out / "run.h5", opened, {"script": "04_deploy_kernels"}) as arrays:
        outcome = deploy(
            bundle,
            arrays,
            sequences,
            DeploymentChoices(vectors=choices.vectors),
        )
        print(outcome)
finally:
    for array in opened:
        array.close()
print(f"accuracy {100 * outcome.accuracy:.1f} %, in software {100 * outcome.software_accuracy:.1f} %")
print(f"all of it: {choices.out / 'run.h5'}")
