"""Training on another device than the processor, as far as a machine without a CUDA card can say.

Torch's "meta" device computes shapes only, and like a card it refuses tensors of the processor.
"""

import pytest
import torch

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.model.network import Architecture, S4DNetwork
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.train.device import chosen_device
from imssa_lab.s4d.train.evaluation import accuracy
from imssa_lab.s4d.train.training import train
from tests.s4d.test_bundle import CONFIG, make_task

CARD = torch.cuda.is_available()


@pytest.mark.parametrize("precision", ["float", "ternary", "4bit", "4bit, form=direct", "ternary, state=8, output=8"])
@pytest.mark.parametrize("steps", [20, 200])
def test_nothing_is_left_on_the_processor(precision: str, steps: int) -> None:
    rng = torch.Generator().manual_seed(0)
    network = S4DNetwork(Architecture(inputs=3, classes=2), rng)
    network.set_precision(Precision.parse(precision))
    network.set_cell_errors(CellErrors.relative(0.05).model_copy(update={"stuck_on": 0.01}), rng)
    network.to("meta")
    inputs = torch.empty(4, steps, 3, device="meta")
    logits = network(inputs)
    logits.square().mean().backward()
    assert logits.device.type == "meta"
    assert all(p.grad is not None and p.grad.device.type == "meta" for p in network.parameters())
    network.eval()
    if network.precision.state != "float":
        network.calibrate_states(inputs)
    assert network(inputs).device.type == "meta"
    with pytest.raises(RuntimeError, match="device"):  # null control: such a mix is told
        network(torch.zeros(4, steps, 3))


@pytest.mark.skipif(not CARD, reason="torch sees no CUDA card")
def test_a_card_trains_as_well_as_the_processor() -> None:
    task = make_task()
    card, processor = (train(task, CONFIG.model_copy(update={"device": name})) for name in ("cuda", "cpu"))
    assert card.network.head.weight.device.type == "cpu"
    assert accuracy(card.network, task.test) == pytest.approx(accuracy(processor.network, task.test), abs=0.1)


def test_devices_by_name() -> None:
    assert chosen_device("cpu") == "cpu"
    assert chosen_device("auto") == ("cuda" if CARD else "cpu")
    with pytest.raises(ConfigError, match="auto, cpu, cuda"):
        chosen_device("gpu")
    if not CARD:
        with pytest.raises(ConfigError, match="sees no CUDA card"):
            chosen_device("cuda")
