"""tickit's simulated Eiger, by the Python that has it: `python tickit_host.py CONFIGURATION`.

As shipped, its PUSH socket binds its address and connects to it as well; in some runs every other message is then lost
(2 of 20 here, tickit 0.4.3). Started by this it only binds.
"""

from __future__ import annotations

import sys
from typing import Any


async def only_bound(host: str, port: int) -> Any:
    import aiozmq
    import zmq

    return await aiozmq.create_zmq_stream(zmq.PUSH, bind=f"tcp://{host}:{port}")


def main() -> None:
    from tickit.adapters.io import zeromq_push_io
    from tickit.cli import main as run

    made = zeromq_push_io.ZeroMqPushIo.__init__
    made.__defaults__ = (*made.__defaults__[:2], only_bound)
    sys.argv[1:] = ["all", sys.argv[1]]
    run()


if __name__ == "__main__":
    main()
