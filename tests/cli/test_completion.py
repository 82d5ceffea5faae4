"""Shell completion, as bash asks for it: in a process of its own, by the script that `imssa` itself gives."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STATION = '[arrays.left]\naddress = "twin:ideal"\n[arrays.right]\naddress = "twin:ideal"\n'
ASKED = """
PATH={bin}:$PATH
eval "$(imssa --show-completion bash)"
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_imssa_completion imssa
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def offered(line: str, folder: Path) -> list[str]:
    """What bash offers for the last word of a line."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    script = ASKED.format(bin=Path(sys.executable).parent, words=line)
    environment = {name: value for name, value in os.environ.items() if name != "IMSSA_STATION"}
    done = subprocess.run(
        [bash, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("imssa de", {"demo", "deploy"}),
        ("imssa station ''", {"init", "check"}),
        ("imssa deploy x --seq", {"--sequences"}),
        ("imssa calibrate --array le", {"left"}),
        ("imssa program t.csv --array r", {"right", "replay:"}),
        ("imssa program t.csv --programmer gate", {"gate-start"}),
        ("imssa serve su", {"supert-a0"}),
        ("imssa train --task digits-f", {"digits-first"}),
        ("imssa twin-check run.h5 supert", {"supert-a0", "supert-a0-easy", "supert-a0-wired"}),
        ("imssa fit x.csv --quantity rel", {"relaxation"}),
    ],
)
def test_bash_is_offered_what_there_is(line: str, expected: set[str], tmp_path: Path) -> None:
    (tmp_path / "station.toml").write_text(STATION)
    assert set(offered(line, tmp_path)) == expected


@pytest.mark.parametrize("text", [None, "[arrays", 'adress = "x"'])
def test_a_station_file_that_cannot_be_read_stays_silent(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "station.toml").write_text(text)
    assert offered("imssa calibrate --array tw", tmp_path) == ["twin:"]
