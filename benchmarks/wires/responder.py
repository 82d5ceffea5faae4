"""The process behind `conversation.responder`: ``responder tcp|pty``, the turns pickled on stdin."""

from __future__ import annotations

import itertools
import os
import pickle
import socket
import sys
import tty

_PIECE = 1 << 18


def main() -> None:
    """Answer by length until killed."""
    opening, repeated = pickle.load(sys.stdin.buffer)
    if sys.argv[1] == "tcp":
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        file = client.fileno()
    else:
        file, other = os.openpty()
        tty.setraw(other)
        print(os.ttyname(other), flush=True)
    for asked, answer in itertools.chain(opening, itertools.cycle(repeated)):
        left = asked
        while left > 0:
            data = os.read(file, min(left, _PIECE))
            if not data:
                return
            left -= len(data)
        rest = memoryview(answer)
        while rest:
            rest = rest[os.write(file, rest) :]


if __name__ == "__main__":
    main()
