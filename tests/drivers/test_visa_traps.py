"""The ten traps of pyvisa-py on TCP: each is shown to be there with plain pyvisa, then our link is put to it."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pyvisa
from pyvisa.constants import StatusCode

from drivers.links import Exchange, Link
from drivers.visa_stream import open_visa
from imssa_lab.contract.errors import ConfigError, ImssaError, LinkCorrupt, LinkError, LinkLost, LinkTimeout

Send = Callable[[bytes], None]
TIMEOUT = 0.3


def handshake() -> Callable[[Exchange], None]:
    """A handshake that no late answer passes: it asks for a number that was not asked before."""
    numbers = itertools.count()

    def shake(talk: Exchange) -> None:
        wanted = b"sync %d" % next(numbers)
        talk.send(wanted + b"\n")
        while talk.line() != wanted:
            pass

    return shake


def link_to(peer: Any) -> Link:
    return Link(open_visa(peer.resource, TIMEOUT), handshake(), TIMEOUT)


def ask(link: Link, question: bytes, timeout: float | None = None) -> bytes:
    with link.exchange(timeout) as talk:
        talk.send(question + b"\n")
        return talk.line()


def ask_block(link: Link) -> bytes:
    with link.exchange() as talk:
        talk.send(b"block?\n")
        block = talk.block()
        assert talk.line() == b""
        return block


def send_and(link: Link, data: bytes, then: Callable[[], None]) -> None:
    with link.exchange() as talk:
        talk.send(b"x\n")
        then()
        talk.send(data)


def press_ctrl_c() -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def plain(peer: Any) -> Iterator[Any]:
    """A resource as any script opens it."""
    opened: Any = pyvisa.ResourceManager("@py").open_resource(
        peer.resource, read_termination="\n", write_termination="\n", timeout=int(TIMEOUT * 1e3)
    )
    try:
        yield opened
    finally:
        opened.close()


def echo(line: bytes, send: Send) -> None:
    send(line + b"\n")


def late(line: bytes, send: Send) -> None:
    if line == b"slow?":
        time.sleep(1.7 * TIMEOUT)
    send(line + b"\n")


def mixed(query: Callable[[str], str], each: int) -> int:
    """Of so many queries from each of four threads, how many were answered with something else, or not at all."""
    good = itertools.count()

    def work(name: int) -> None:
        for number in range(each):
            text = f"{name} {number}"
            # the naive link's errors when it is closed meanwhile; ValueError: select of a closed socket
            with contextlib.suppress(pyvisa.errors.Error, OSError, AttributeError, ValueError):
                if query(text) == text:
                    next(good)

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5.0)
    return 4 * each - next(good)


class TestOpening:
    def test_p1_a_refused_port(self, tcp: Any) -> None:
        peer = tcp(echo)
        peer.stop()
        with plain(peer):
            pass  # the trap: it opened
        with pytest.raises(LinkLost, match="Connection refused"):
            link_to(peer)

    def test_p1_a_port_where_nobody_answers(self, tcp: Any) -> None:
        peer = tcp(echo, reads=False)
        with plain(peer):
            pass
        with pytest.raises(LinkTimeout):
            link_to(peer)

    def test_a_peer_that_answers_every_handshake_wrongly_is_named_with_its_words(self, tcp: Any) -> None:
        def shake(talk: Exchange) -> None:
            talk.send(b"who?\n")
            raise LinkCorrupt(f"it said {talk.line()!r}")

        peer = tcp(lambda line, send: send(b"a stranger\n"))
        with pytest.raises(LinkCorrupt, match="it said b'a stranger'"):
            Link(open_visa(peer.resource, TIMEOUT), shake, TIMEOUT)

    def test_p9_no_search_for_instruments(self, tcp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def search(*_: Any) -> None:
            raise AssertionError("searched")

        monkeypatch.setattr(pyvisa.ResourceManager, "list_resources", search)
        with pytest.raises(AssertionError, match="searched"):
            pyvisa.ResourceManager("@py").list_resources()
        link = link_to(tcp(echo))
        assert ask(link, b"there?") == b"there?"
        link.close()

    @pytest.mark.parametrize("resource", ["nonsense", "TCPIP::x::y::z::SOCKET", "ASRL/dev/ttyS0::INSTR"])
    def test_what_is_no_use_is_a_config_error(self, resource: str) -> None:
        with pytest.raises(ConfigError, match=r"nonsense|TCPIP|serial"):
            open_visa(resource, TIMEOUT)

    @pytest.mark.parametrize("backend", ["/no/such/library.so", "@nonsense"])
    def test_a_library_that_is_not_there_is_a_config_error_with_its_name(self, backend: str) -> None:
        with pytest.raises(ConfigError, match=f"backend '{backend}'"):
            open_visa("TCPIP::127.0.0.1::9::SOCKET", TIMEOUT, backend)

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (StatusCode.error_timeout, LinkTimeout),
            (StatusCode.error_connection_lost, LinkLost),
            (StatusCode.error_resource_busy, LinkError),
        ],
    )
    def test_what_the_library_cannot_open_is_a_link_error_of_its_kind(
        self, monkeypatch: pytest.MonkeyPatch, code: StatusCode, kind: type[LinkError]
    ) -> None:
        def refuse(*_: Any, **given: Any) -> None:
            assert given == {"open_timeout": int(TIMEOUT * 1e3)}
            raise pyvisa.errors.VisaIOError(code)

        monkeypatch.setattr(pyvisa.ResourceManager, "open_resource", refuse)
        with pytest.raises(LinkError, match="GPIB0::1::INSTR") as caught:
            open_visa("GPIB0::1::INSTR", TIMEOUT)
        assert type(caught.value) is kind

    def test_what_pyvisa_py_refuses_by_a_bare_exception_is_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise Exception("could not connect")

        monkeypatch.setattr(pyvisa.ResourceManager, "open_resource", refuse)
        with pytest.raises(LinkLost, match=r"could not connect.*check address and power"):
            open_visa("TCPIP::127.0.0.1::9::SOCKET", TIMEOUT)


class TestAnswers:
    def test_p2_a_late_answer_never_answers_the_next_question(self, tcp: Any) -> None:
        peer = tcp(late)
        with plain(peer) as opened:
            with pytest.raises(pyvisa.errors.VisaIOError):
                opened.query("slow?")
            assert opened.query("quick?") == "slow?"  # the trap
        link = link_to(peer)
        with pytest.raises(LinkTimeout):
            ask(link, b"slow?")
        assert ask(link, b"quick?", 10 * TIMEOUT) == b"quick?"
        assert link.resynchronised == 1
        link.close()

    def test_p2_an_answer_given_twice(self, tcp: Any) -> None:
        def twice(line: bytes, send: Send) -> None:
            send((line + b"\n") * (2 if line == b"double?" else 1))

        peer = tcp(twice)
        with plain(peer) as opened:
            opened.query("double?")
            assert opened.query("single?") == "double?"  # the trap
        link = link_to(peer)
        assert ask(link, b"double?") == b"double?"
        assert ask(link, b"single?") == b"single?"
        link.close()

    def test_p3_the_other_end_closes(self, tcp: Any) -> None:
        def hang_up(line: bytes, send: Send) -> None:
            peer.hang_up() if line == b"bye?" else send(line + b"\n")

        peer = tcp(hang_up)
        with plain(peer) as opened, pytest.raises(pyvisa.errors.VisaIOError, match="TMO"):
            opened.query("bye?")  # the trap: told as a timeout, after a spin
        link = link_to(peer)
        with pytest.raises(LinkLost, match="closed the connection"):
            ask(link, b"bye?")
        assert link.closed
        with pytest.raises(LinkLost, match="open it again"):
            ask(link, b"there?")

    def test_p7_a_late_block(self, tcp: Any) -> None:
        def junk_first(line: bytes, send: Send) -> None:
            send(b"left over " * 3 + b"#14abcd\n" if line == b"block?" else line + b"\n")

        peer = tcp(junk_first)
        with plain(peer) as opened:
            opened.write("block?")
            with pytest.warns(UserWarning, match="beginning of the block"):
                opened.read_binary_values("B", container=bytes)  # the trap: only a warning
        link = link_to(peer)
        with pytest.raises(LinkCorrupt, match="a block begins with"):
            ask_block(link)
        assert ask(link, b"there?") == b"there?"
        link.close()

    def test_p8_a_block_that_stalls_halfway(self, tcp: Any) -> None:
        def stalls(line: bytes, send: Send) -> None:
            if line != b"block?":
                return send(line + b"\n")
            send(b"#18abcd")
            time.sleep(1.7 * TIMEOUT)
            send(b"efgh\n")

        peer = tcp(stalls)
        with plain(peer) as opened:
            opened.write("block?")
            with pytest.raises(pyvisa.errors.VisaIOError):
                opened.read_binary_values("B", container=bytes)
            assert opened.query("there?") == "efgh"  # the trap
        link = link_to(peer)
        with pytest.raises(LinkTimeout):
            ask_block(link)
        assert ask(link, b"there?", 10 * TIMEOUT) == b"there?"
        link.close()

    def test_p6_line_feeds_inside_a_block(self, tcp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        payload = b"\n" * 4096
        reads = 0
        real = pyvisa.ResourceManager("@py").visalib.__class__.read

        def counted(*arguments: Any) -> Any:
            nonlocal reads
            reads += 1
            return real(*arguments)

        def block(line: bytes, send: Send) -> None:
            send(b"#44096" + payload + b"\n" if line == b"block?" else line + b"\n")

        monkeypatch.setattr(pyvisa.ResourceManager("@py").visalib.__class__, "read", counted)
        peer = tcp(block)
        with plain(peer) as opened:
            opened.write("block?")
            assert bytes(opened.read_binary_values("B", container=bytes)) == payload
            assert reads > 4000  # the trap: one read for every line feed
        link = link_to(peer)
        reads = 0
        assert ask_block(link) == payload
        assert reads < 10
        link.close()


class TestWritingAndThreads:
    def test_p4_a_write_that_nobody_takes(self, tcp: Any) -> None:
        deaf = tcp(echo, reads=False)

        def write() -> None:
            with plain(deaf) as opened, contextlib.suppress(Exception):
                opened.write_raw(bytes(16 << 20))

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        thread.join(5 * TIMEOUT)
        assert thread.is_alive()  # the trap: far beyond its timeout
        deaf.stop()
        thread.join(5)

        done = threading.Event()

        def go_deaf(line: bytes, send: Send) -> None:
            send(line + b"\n")
            if line == b"last":
                done.wait()

        def flood() -> None:
            with link.exchange() as talk:
                talk.send(b"last\n")
                assert talk.line() == b"last"  # answered, so nothing is read from here on
                talk.send(bytes(16 << 20))

        link = link_to(tcp(go_deaf))
        with pytest.raises(LinkTimeout, match=r"took \d+ of 16777216 bytes"):
            flood()
        done.set()
        link.close()

    def test_p5_threads_on_one_link(self, tcp: Any) -> None:
        peer = tcp(echo)
        with plain(peer) as opened:
            assert mixed(opened.query, 200) > 0  # the trap
            peer.hang_up()  # or a thread would wait for ever for what another has read
        link = link_to(peer)
        assert mixed(lambda text: ask(link, text.encode(), 5.0).decode(), 500) == 0
        link.close()

    def test_p10_one_tree_of_errors(self, tcp: Any) -> None:
        peer = tcp(echo)
        with plain(peer) as opened:
            opened.query("there?")
            peer.hang_up()
            leaked = []
            for _ in range(3):
                try:
                    opened.query("there?")
                except (OSError, pyvisa.errors.Error) as error:
                    leaked.append(error)
        assert any(isinstance(error, OSError) for error in leaked)  # the trap: not VisaIOError
        link = link_to(peer)
        peer.hang_up()
        for _ in range(3):
            with pytest.raises(ImssaError):
                ask(link, b"there?")
        link.close()
        link.close()

    def test_an_exchange_that_is_broken_off_answers_nobody_else(self, tcp: Any) -> None:
        link = link_to(tcp(echo))
        with pytest.raises(KeyboardInterrupt):
            send_and(link, b"before?", press_ctrl_c)
        assert ask(link, b"after?", 10 * TIMEOUT) == b"after?"
        link.close()


def test_every_error_is_of_our_tree() -> None:
    assert issubclass(LinkError, ImssaError)
    with pytest.raises(LinkError):
        Link(open_visa("TCPIP::127.0.0.1::9::SOCKET", 0.2), lambda talk: None, 0.2)
