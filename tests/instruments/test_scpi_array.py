"""The SCPI array tester: its language spoken by hand, its promises over a real TCP port."""

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import pyvisa

from drivers.scpi import ScpiArray, open_scpi, wire
from drivers.scpi.scpi_array import ScpiWire
from drivers.visa_stream import open_visa
from imssa_lab.contract.errors import (
    ConfigError,
    InstrumentError,
    LinkCorrupt,
    LinkLost,
    WrongInstrument,
    WrongProcess,
)
from imssa_lab.contract.hal import Pulses
from imssa_lab.contract.testing.electrodes import lowered
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.server import TcpPort
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester
from imssa_lab.virtual.wire_faults import KINDS, Faults
from trials.link_chaos import on_scpi, random_operations
from twin import DigitalTwin

SHAPE = (4, 3)


@pytest.fixture
def tester() -> ScpiArrayTester:
    made = ScpiArrayTester(BenchTwin("supert-a0-easy", SHAPE, seed=3))
    made.receive(b"*IDN?\n")  # the first message switches no outputs on
    return made


def say(tester: ScpiArrayTester, text: str | bytes) -> str:
    """What the instrument answers to a line typed at a terminal."""
    message = text.encode() if isinstance(text, str) else text
    return b"".join(tester.receive(message + b"\n")).decode().strip()


class TestLanguage:
    @pytest.mark.parametrize("header", ["SYSTEM:ERROR:NEXT?", "syst:err?", ":Syst:Error?", "SYSTem:ERR:NEXT?"])
    def test_short_and_long_forms(self, tester: ScpiArrayTester, header: str) -> None:
        assert say(tester, header) == '0,"No error"'

    @pytest.mark.parametrize("header", ["SYSTE:ERR?", "SYST:ERRO?", "ERR?", "SYST:ERR", "*IDN", "nonsense", "*RST?"])
    def test_other_forms_are_undefined(self, tester: ScpiArrayTester, header: str) -> None:
        assert say(tester, header) == ""
        assert say(tester, "SYST:ERR?").startswith("-113,")

    def test_common_commands(self, tester: ScpiArrayTester) -> None:
        vendor, model, serial, version = say(tester, "*IDN?").split(",")
        assert (vendor, serial) == ("imssa_lab", "seed 3")
        assert model
        assert version
        assert say(tester, "*ESR?") == "128"  # power on
        assert say(tester, "*OPC;*ESR?;*OPC?;*TST?") == "1;1;0"
        assert say(tester, "*ESE 32;*SRE 32;*ESE?;*SRE?;*STB?") == "32;32;0"
        say(tester, "nonsense")
        assert say(tester, "*STB?") == str(4 + 32 + 64)  # an error waits, the event is enabled, service is asked for
        assert say(tester, "*CLS;*STB?;*ESR?") == "0;0"
        assert say(tester, "*WAI;SYST:VERS?") == "1999.0"

    def test_paths_of_several_commands(self, tester: ScpiArrayTester) -> None:
        assert say(tester, "SYST:ERR:COUN?;NEXT?;:OUTP:STAT?;*OPC?;STAT?") == '0;0,"No error";0;1;0'

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            ("OUTP", -109),
            ("OUTP ON,OFF", -108),
            ("OUTP MAYBE", -104),
            ("SYST:WAIT -1", -222),
            ("SYST:WAIT soon", -104),
            ("READ:CELL? (@1!1)", -221),  # outputs are off
            ("OUTP ON;:READ:CELL? (@5!1)", -222),
            ("OUTP ON;:READ:CELL? 1", -170),
            ("OUTP ON;:READ:COND? 1,#13abc", -168),
            ("OUTP ON;:READ:COND? 1,abc", -104),
            ("OUTP ON;:READ:COND? 1,#211" + "\1" * 11, -168),  # a cell too few
            ("OUTP ON;:READ:COND:AT? 0.1,1,#213" + "\1" * 13, -168),
            ("OUTP ON;:READ:COND? 1,#212" + "\1" * 11 + "\2", -168),
            ("OUTP ON;:READ:COND:AT? 9,1,#212" + "\1" * 12, -222),
            ("OUTP ON;:READ:MVM? 1,#14abcd", -168),
            ("OUTP ON;:READ:MVM? 0,#0", -222),
            ("OUTP ON;:PULS:CELL:SET (@1!1),9,1,1e-5", -222),
            ("OUTP ON;:PULS:CELL:SET (@1!1),2,1,10", -222),
            ("OUTP ON;:PULS:CELL:FORM (@1!1),2,1,1e-5", -222),
            ("SYST:CALL 1,2,3", -109),
        ],
    )
    def test_errors_have_their_numbers_and_nothing_happens(
        self, tester: ScpiArrayTester, message: str, code: int
    ) -> None:
        assert say(tester, message) == ""
        assert say(tester, "SYST:ERR?").split(",")[0] == str(code)
        assert {entry.what for entry in tester.bench.journal.entries} <= {"on"}

    def test_the_queue_overflows_with_a_word(self, tester: ScpiArrayTester) -> None:
        for _ in range(30):
            say(tester, "nonsense")
        assert say(tester, "SYST:ERR:COUN?") == "20"
        assert say(tester, "SYST:ERR:ALL?").endswith('-350,"Queue overflow"')

    def test_a_person_can_read_and_pulse_a_cell(self, tester: ScpiArrayTester) -> None:
        before = float(say(tester, "OUTP ON;:READ:CELL? (@2!3)"))
        say(tester, "PULS:CELL:SET (@2!3),2.0,1.0,1e-5")
        after = float(say(tester, "READ:CELL? (@2!3)"))
        assert after > 5 * before
        assert say(tester, "SYST:ERR?") == '0,"No error"'

    @pytest.mark.parametrize(("order", "word"), [("<", b"SWAP"), (">", b"NORM")])
    def test_byte_order_is_as_set(self, tester: ScpiArrayTester, order: Any, word: bytes) -> None:
        voltages = np.full((2, 4), 0.1)
        message = b"FORM:BORD %s;:OUTP ON;:READ:MVM? 2,%s\n" % (word, wire.numbers(voltages, order))
        (answer,) = tester.receive(message)
        readout = wire.parse_readout(answer.removesuffix(b"\n"), (2, 3), order)
        assert np.array_equal(readout.values, tester.bench.readout.values)
        assert np.array_equal(tester.bench.journal.entries[-1].voltage, voltages)

    def test_line_feeds_and_semicolons_in_blocks_and_any_cut_of_the_stream(self, tester: ScpiArrayTester) -> None:
        payload = b'\n;,#"(' * 2
        message = b"SYST:CALL %d,5,%d,%s\n*OPC?\n" % (
            tester.session,
            wire.checksum(tester.session, 5, 0, payload),
            wire.block(payload),
        )
        whole = tester.receive(message)
        tester.receive(b"*CLS\n")
        assert len(whole) == 2
        pieces = [answer for at in range(len(message)) for answer in tester.receive(message[at : at + 1])]
        assert pieces == whole

    def test_a_damaged_call_is_not_executed(self, tester: ScpiArrayTester) -> None:
        call = wire.call(tester.session, 9, b"OUTP ON")
        for at in range(len(call) - 1):
            broken = ScpiArrayTester(tester.bench)
            broken.session = tester.session
            broken.receive(call[:at] + bytes([call[at] ^ 4]) + call[at + 1 :])
            assert not tester.bench.outputs
        (answer,) = tester.receive(call.replace(b"OUTP ON", b"OUTP 0N"))
        assert answer == wire.answer(tester.session, wire.DAMAGED, 0, b"")
        tester.receive(call)
        assert tester.bench.outputs


@pytest.fixture
def port(tester: ScpiArrayTester) -> Iterator[TcpPort]:
    with TcpPort(tester) as running:
        yield running


class TestDriver:
    def test_same_seed_same_bits_as_in_process(self, port: TcpPort) -> None:
        def script(array: Any) -> list[np.ndarray]:
            rng = np.random.default_rng(7)
            seen = [array.read_conductances(averages=3)]
            for _ in range(10):
                mask = rng.random(SHAPE) < 0.6
                array.apply_pulses(Pulses.on(mask, "SET", rng.uniform(1, 3, SHAPE), 0.8, 10e-6))
                array.wait(0.3)
                seen += [array.read_conductances(mask), array.read_mvm(rng.uniform(0, 0.2, (5, 4)))]
            return [*seen, np.array(array.time)]

        with open_scpi(port.resource, {}) as array:
            there = script(array)
        here = script(DigitalTwin("supert-a0-easy", SHAPE, seed=3))
        other = script(DigitalTwin("supert-a0-easy", SHAPE, seed=4))
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(there, here, strict=True))
        assert not np.array_equal(here[1], other[1], equal_nan=True)

    def test_info_says_where_it_comes_from(self, port: TcpPort) -> None:
        with open_scpi(port.resource, {}) as array:
            assert array.info.provenance["identity"].startswith("imssa_lab,")
            assert array.info.provenance["address"] == port.resource
            assert array.info.shape == SHAPE

    @pytest.mark.parametrize("kind", ["SET", "RESET"])
    def test_pulses_come_as_they_were_asked(self, port: TcpPort, tester: ScpiArrayTester, kind: Any) -> None:
        with open_scpi(port.resource, {}) as array:
            array.apply_pulses(Pulses.on(np.eye(*SHAPE, dtype=bool), kind, 1.5, 0.75, 2e-5))
        (entry,) = [entry for entry in tester.bench.journal.entries if entry.what in ("SET", "RESET")]
        assert (entry.what, entry.width) == (kind, 2e-5)
        assert (np.nansum(entry.voltage), np.nansum(entry.gate)) == (1.5 * min(SHAPE), 0.75 * min(SHAPE))

    def test_a_lowered_limit_lowers_cell_reads(self, port: TcpPort, tester: ScpiArrayTester) -> None:
        with open_scpi(port.resource, {}) as array:
            array.lower_limits(lowered(array.info, 0.5))
            array.read_conductances()
        assert tester.bench.journal.peak("cells")[0] == pytest.approx(0.1)

    def test_another_version_of_the_interface_is_refused(
        self, port: TcpPort, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = wire.Description.model_dump_json
        monkeypatch.setattr(
            wire.Description, "model_dump_json", lambda self: plain(self.model_copy(update={"protocol": 1}))
        )
        with pytest.raises(WrongInstrument, match="version 1"):
            open_scpi(port.resource, {})

    def test_a_bit_of_an_answer(
        self, port: TcpPort, tester: ScpiArrayTester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection, plain = ScpiWire(open_visa(port.resource, 2.0)), tester.receive
        monkeypatch.setattr(
            tester, "receive", lambda data: [a[:-2] + bytes([a[-2] ^ 1]) + a[-1:] for a in plain(data)]
        )
        with pytest.raises(LinkCorrupt, match="wrong checksum"):
            connection.ask(b"OUTP?")
        connection.link.close()

    def test_an_older_answer_is_not_the_next_one_s(
        self, port: TcpPort, tester: ScpiArrayTester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection, plain, earlier = ScpiWire(open_visa(port.resource, 2.0)), tester.receive, [b""]

        def late(data: bytes) -> list[bytes]:
            answers = plain(data)
            earlier.append(answers[0])
            return [earlier[-2] + answers[0]]

        monkeypatch.setattr(tester, "receive", late)
        assert connection.ask(b"OUTP?") == b"0"
        assert connection.ask(b"SYST:SYNC? 7") == b"SYNC 7"
        connection.link.close()

    def test_limits_are_checked_in_the_instrument_too(self, port: TcpPort, tester: ScpiArrayTester) -> None:
        connection = ScpiWire(open_visa(port.resource, 2.0))
        connection.ask(b"OUTP ON;:FORM:BORD SWAP")
        over = wire.numbers(np.full(SHAPE, 5.0), "<")
        with pytest.raises(InstrumentError, match=r"at most 3\.5 V is allowed"):
            connection.ask(b"PULS:SET 1e-5,%s,%s" % (over, over))
        assert tester.bench.journal.peak("SET") == (0.0, 0.0)
        assert connection.ask(b"OUTP?") == b"1"  # in step, and usable
        connection.link.close()

    def test_a_second_client_is_refused_politely(self, port: TcpPort) -> None:
        with open_scpi(port.resource, {}) as first:
            with pytest.raises(LinkLost, match=r"BUSY.*in use by 127\.0\.0\.1"):
                open_scpi(port.resource, {"timeout": "1"})
            assert first.time == 0.0
        open_scpi(port.resource, {}).close()

    def test_outputs_left_on_by_somebody_go_off_first(self, tester: ScpiArrayTester) -> None:
        tester.bench.connect()
        with TcpPort(tester) as port, open_scpi(port.resource, {}):
            assert tester.bench.journal.grounded

    def test_the_watchdog_grounds_the_outputs(self) -> None:
        tester = ScpiArrayTester(BenchTwin("supert-a0-easy", SHAPE, seed=3), watchdog=0.1)
        with TcpPort(tester) as port, open_scpi(port.resource, {}) as array:
            array.read_conductances()
            assert tester.bench.outputs
            for _ in range(100):
                if tester.bench.journal.grounded:
                    break
                time.sleep(0.02)
            assert tester.bench.journal.grounded
            array.read_conductances()  # a request connects them again

    def test_a_lost_client_leaves_the_outputs_grounded(self, port: TcpPort, tester: ScpiArrayTester) -> None:
        array = open_scpi(port.resource, {})
        array.read_conductances()
        array.link.close()  # without make_safe, as after a kill
        for _ in range(100):
            if tester.bench.journal.grounded:
                break
            time.sleep(0.02)
        assert tester.bench.journal.grounded

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_child_is_refused_and_the_parent_goes_on(self, port: TcpPort, tester: ScpiArrayTester) -> None:
        """Both at once: nothing of the child's reaches the wire, and the parent stays in step."""
        with open_scpi(port.resource, {"timeout": "2"}) as array:
            child = os.fork()
            if not child:
                array.close()
                array.link.close()
                pyvisa.ResourceManager("@py").close()  # as at the exit of the child
                refused = 0
                for _ in range(20):
                    try:
                        array.read_conductances()
                    except WrongProcess as error:
                        refused += "its child" in str(error)
                os._exit(refused)
            for _ in range(20):
                array.read_conductances()
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 20
            assert array.link.resynchronised == 0

    def test_broken_off_in_the_middle_of_a_message(self, port: TcpPort, tester: ScpiArrayTester) -> None:
        """The handshake is taken for the rest of the message, and forgotten with it: it must be asked again."""

        def broken_off() -> None:
            with array.link.exchange() as talk:
                talk.send(wire.call(1, 999, bytes(8192))[:4096])
                raise KeyboardInterrupt

        with open_scpi(port.resource, {"timeout": "2"}) as array:
            array.read_conductances()
            with pytest.raises(KeyboardInterrupt):
                broken_off()
            assert tester.bench.outputs
            array.make_safe()
            assert not tester.bench.outputs

    def test_somebody_else_answers(self, tcp_meter: str) -> None:
        with pytest.raises(WrongInstrument, match="KEITHLEY"):
            open_scpi(tcp_meter, {"timeout": "0.3"})

    @pytest.mark.parametrize("options", [{"baud": "9600"}, {"timeout": "soon"}, {"timeout": "-1"}])
    def test_bad_options(self, options: dict[str, str]) -> None:
        with pytest.raises(ConfigError, match=r"unknown option|timeout"):
            open_scpi("TCPIP::127.0.0.1::1::SOCKET", options)


@pytest.fixture
def tcp_meter() -> Iterator[str]:
    """A multimeter that knows *IDN? and nothing else."""
    import threading

    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        client, _ = server.accept()
        with client:
            while data := client.recv(1000):
                if b"*IDN?" in data:
                    client.sendall(b"KEITHLEY INSTRUMENTS,MODEL 2450,1,1.0\n")

    thread = threading.Thread(target=run)
    thread.start()
    yield f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET"
    thread.join()
    server.close()


def chaos(kinds: tuple[str, ...], rate: float, operations: int, seed: int = 1) -> tuple[Any, Faults]:
    tester = ScpiArrayTester(BenchTwin("supert-a0-easy", SHAPE, seed=3))
    faults = Faults(kinds, rate, np.random.default_rng(seed), seconds=0.15)
    deadline = 0.1

    def connect() -> ScpiArray:
        return ScpiArray(ScpiWire(open_visa(port.resource, deadline), deadline))

    with TcpPort(tester, faults=faults) as port:
        outcome = random_operations(
            on_scpi(tester.bench),
            connect,  # type: ignore[arg-type]
            lambda array: array.link.closed,  # type: ignore[attr-defined]
            deadline,
            operations,
            np.random.default_rng(seed),
        )
    return outcome, faults


class TestFaults:
    def test_without_faults_all_is_good(self) -> None:
        outcome, faults = chaos(tuple(KINDS), 0.0, 200)
        assert (outcome.good, outcome.wrong, outcome.opened) == (199, 0, 1)
        assert not faults.injected

    @pytest.mark.parametrize("kind", sorted(KINDS))
    def test_each_kind_gives_typed_errors_and_no_wrong_answer(self, kind: str) -> None:
        kinds = ("refused", "eof") if kind == "refused" else (kind,)  # it takes a lost link to be refused
        outcome, faults = chaos(kinds, 0.15, 50, seed=3)
        assert faults.injected[kind] > 0
        assert outcome.wrong == 0
        assert outcome.good > 5  # usable again after each

    def test_a_naive_reader_is_told_wrong_answers(self) -> None:
        """The null control: the same faults under plain questions and answers."""
        tester = ScpiArrayTester(BenchTwin("supert-a0-easy", SHAPE, seed=3))
        faults = Faults(("twice", "late"), 0.3, np.random.default_rng(2), seconds=0.15)
        wrong = 0
        with TcpPort(tester, faults=faults) as port, socket.create_connection(port.address) as plain:
            plain.settimeout(0.1)
            file = plain.makefile("rwb", buffering=0)
            for number in range(40):
                file.write(b"SYST:SYNC? %d\n" % number)
                try:
                    wrong += file.readline() != b"SYNC %d\n" % number
                except TimeoutError:
                    file = plain.makefile("rwb", buffering=0)
        assert wrong > 5
