"""`imssa log copy`: whole, of a run that goes on, of one that was cut off and of a finished one."""

import json
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from imssa_lab.cli.runs.log import log as app
from imssa_lab.contract.errors import LinkTimeout, LogError
from imssa_lab.log import open_run, record
from imssa_lab.log.care import snapshot as module
from imssa_lab.log.care.publish import publish
from imssa_lab.log.care.repair import repair
from imssa_lab.log.care.snapshot import pack, snapshot
from imssa_lab.log.care.verify import verify
from imssa_lab.log.file.attributes import text_attribute
from imssa_lab.log.file.header import sha256
from tests.log.conftest import Chip, session


def test_packed_in_place_with_the_same_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.h5"
    with record(path, [Chip(shape=(60, 40))], {}) as (array,):
        seen = [array.read_mvm(np.full((3, 60), 0.1)).tobytes() for _ in range(300)]
    before = path.read_bytes()
    real = module.os.replace

    def refused_in_place(source: Path, target: Path) -> None:
        if target == path:
            raise PermissionError("in use")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "replace", refused_in_place)
        with pytest.raises(LogError, match="it is as it was"):
            pack(path)
    assert path.read_bytes() == before
    pack(path)
    assert path.stat().st_size < 0.7 * len(before)
    assert sorted(tmp_path.iterdir()) == [path]
    with open_run(path) as run:
        (again,) = run.arrays()
        assert [again.read_mvm(np.full((3, 60), 0.1)).tobytes() for _ in range(300)] == seen
        assert run.closed_cleanly


def test_of_a_run_that_goes_on_every_record_so_far(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with record(path, [Chip()], {"chip": "seven"}) as (array,):
        seen = session(array)
        wire = array.log.wire("link")
        for number in range(300):
            wire.sent(b"x" * number, 1.7e9)
        wire.flush()
        upto = array.log.next_seq
        taken = snapshot(path, tmp_path / "copy.h5")
        array.wait(1.0)
    assert (taken.records, taken.messages, taken.verification.good) == (upto, 299, True)
    with h5py.File(taken.path, "r") as plain:  # no mark of a writer
        assert plain["waits/seq"].shape == (1,)
    with open_run(taken.path) as run, open_run(path) as whole:
        assert session(*run.arrays()) == seen
        assert (run.uuid, run.provenance["chip"]) == (whole.uuid, "seven")
        assert "copy of a run under way" in run.repaired
        assert run.column("wire", "data").tobytes() == whole.column("wire", "data").tobytes()
    assert repair(taken.path).good


def test_records_behind_a_missing_one_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that was looked at early lacks a record that came while the others were looked at."""
    path = tmp_path / "run.h5"
    with record(path, [Chip()], {}) as (array,):
        for _ in range(3):
            array.read_mvm(np.full(5, 0.1))
            array.wait(1.0)
        with open_run(path) as run:
            real = run.column

            def early(table: str, name: str, rows: Any = None) -> Any:
                found = real(table, name, rows)
                return found[:1] if (table, name, rows) == ("waits", "seq", None) else found

            monkeypatch.setattr(run, "column", early)
            rows = module._whole_rows(run)
    assert (rows["read_mvm"]["call"], rows["read_mvm"]["vector"], rows["waits"]["call"]) == (2, 2, 1)


def test_while_records_come(tmp_path: Path) -> None:
    """From another thread of the writer's process, which HDF5 lets one at a time in."""
    path, stop = tmp_path / "run.h5", threading.Event()
    with record(path, [Chip()], {}) as (array,):

        def write() -> None:
            while not stop.is_set():
                array.read_mvm(np.full((2, 5), 0.1))
                array.wait(0.1)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(4):
                before = array.log.next_seq
                assert snapshot(path, tmp_path / f"{number}.h5").records >= before
        finally:
            stop.set()
            writer.join()


def test_of_a_finished_run_the_same_bytes(finished: Any, tmp_path: Path) -> None:
    path, _ = finished
    said = CliRunner().invoke(app, ["copy", str(path), str(tmp_path / "copy.h5")])
    assert said.exit_code == 0
    assert (tmp_path / "copy.h5").read_bytes() == path.read_bytes()


def test_packed_it_is_smaller_and_replays_the_same(tmp_path: Path) -> None:
    path, to = tmp_path / "run.h5", tmp_path / "packed.h5"
    with record(path, [Chip(shape=(16, 12))], {}) as (array,):
        for number in range(400):
            array.read_mvm(np.full((4, 16), 1e-3 * (number % 7)))
        seen = session(array)
    assert CliRunner().invoke(app, ["copy", "--packed", str(path), str(to)]).exit_code == 0
    assert to.stat().st_size < 0.6 * path.stat().st_size
    with open_run(to) as run, open_run(path) as whole:
        assert run.closed_cleanly
        for name in ("voltage", "value", "range", "vector_call"):
            assert np.array_equal(run.column("read_mvm", name), whole.column("read_mvm", name))
        (array,), (other,) = run.arrays(), whole.arrays()
        for replayed in (array, other):
            for number in range(400):
                replayed.read_mvm(np.full((4, 16), 1e-3 * (number % 7)))
        assert session(array) == session(other) == seen


def test_nothing_is_overwritten_and_damage_is_not_passed_on(finished: Any, tmp_path: Path) -> None:
    path, _ = finished
    (tmp_path / "there.h5").write_bytes(b"mine")
    with pytest.raises(LogError, match="exists"):
        snapshot(path, tmp_path / "there.h5")
    with pytest.raises(LogError, match="does not exist"):
        snapshot(path, tmp_path / "nowhere" / "copy.h5")
    with h5py.File(path, "r") as file:
        place = file["read_mvm/value"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert not verify(path).good
    with pytest.raises(LogError, match="does not verify"):
        snapshot(path, tmp_path / "copy.h5")
    assert not list(tmp_path.glob("copy*"))


def test_addresses_of_links_are_not_published_and_what_still_names_somebody_is_said(tmp_path: Path) -> None:
    path, to, address = tmp_path / "run.h5", tmp_path / "public.h5", "tcp://bench-7.example:5025"
    facts = {"operator": "Ada Nymous", "host": "bench-7", "notes": "by Ada Nymous, not by Ada Nymouski"}
    chip = Chip()
    with record(path, [chip], facts) as (array,):
        for name in (address, "usb \u00fc" * 100):
            array.log.wire(name).sent(b"*IDN?", 1.0)
        chip.fail.append(LinkTimeout(f"{address}: no answer within 2 s"))
        with pytest.raises(LinkTimeout):
            array.read_mvm(np.zeros(5))
        array.log.event("note", f"of a script: {address}")
    published = publish(path, to)
    assert {"event link: address", "event failed: address"} <= set(published.left_out)
    assert published.still_named == ["provenance, notes: operator", "event note: host"]
    with open_run(to) as run, open_run(path) as whole:
        names = [json.loads(text)["name"] for _, text in run.events("link")]
        assert [name.rstrip("*") for name in names] == ["link 0", "link 1"]
        assert "link 0" in run.events("failed")[0][1]
        assert address not in run.events("failed")[0][1]
        assert run.events("note") == whole.events("note")
        assert [kind for kind, _ in run.events()] == [kind for kind, _ in whole.events()]


def test_what_is_published_says_neither_who_nor_where(tmp_path: Path) -> None:
    """Not in attributes, and not in bytes that HDF5 has left in the file."""
    path, to = tmp_path / "run.h5", tmp_path / "public.h5"
    secrets = {"operator": "Ada Nymous", "host": "bench-7.example", "command": "imssa deploy /home/ada/secret"}
    with record(path, [Chip()], secrets | {"bundle": "model.safetensors"}) as (array,):
        seen = session(array)
    assert all(secret.encode() in path.read_bytes() for secret in secrets.values())
    said = CliRunner().invoke(app, ["publish", str(path), str(to)])
    assert said.exit_code == 0
    for what in ("provenance: operator", "provenance: host", "environment: user", "environment: folder"):
        assert f"left out: {what}" in said.output
    data = to.read_bytes()
    with open_run(path) as run, open_run(to) as public:
        hidden = [*secrets.values(), run.environment["folder"]]
        assert [text for text in hidden if text.encode() in data] == []
        assert public.provenance == {"bundle": "model.safetensors"}
        assert not {"user", "host", "folder", "command"} & set(public.environment)
        assert public.closed_cleanly
        assert session(*public.arrays()) == seen
    assert verify(to).good
    with h5py.File(path, "r") as whole, h5py.File(to, "r") as copy:
        for place, name in (("/", "provenance"), ("arrays/0", "info")):
            assert set(copy[place].attrs) == set(whole[place].attrs)
            assert text_attribute(copy[place], f"{name}_sha256") == sha256(text_attribute(copy[place], name) or "")
