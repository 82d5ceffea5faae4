"""What the SCPI array tester takes of a number: up to its limits, and nothing beyond."""

import pytest

from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester

ON = b"\1" * 12
LIMITS = [
    (b"SYST:WAIT %s", 0, 1e7),
    (b"SYST:WATC %s", 0, 3600),
    (b"READ:COND? %s,#212" + ON, 1, None),
    (b"READ:CELL? (@%s!1)", 1, 4),
    (b"READ:CELL? (@1!%s)", 1, 3),
    (b"PULS:CELL:SET (@1!1),%s,1,1e-5", None, 3.5),
]


@pytest.mark.parametrize(("command", "low", "high"), LIMITS)
def test_numbers_are_taken_up_to_their_limits(command: bytes, low: float | None, high: float | None) -> None:
    tester = ScpiArrayTester(BenchTwin("supert-a0-easy", (4, 3), seed=3))
    tester.receive(b"*IDN?\n")
    tester.receive(b"OUTP ON\n")

    def error(value: float) -> int:
        tester.receive(command % f"{value:.9g}".encode() + b"\n")
        (answer,) = tester.receive(b"SYST:ERR?\n")
        return int(answer.split(b",")[0])

    for limit, beyond in ((low, -1), (high, 1)):
        if limit is not None:
            assert error(limit) == 0
            assert error(limit + beyond) == -222
