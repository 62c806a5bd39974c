"""What other people's programs are started with, by the Python that has them: `python libertem_host.py VERB ...`.

camera NUMBER|CAPTURE         LiberTEM-live's simulated camera, of mocked images or of a capture; says its ports as JSON
receive PORT STREAM MODE N    DECTRIS's own client configures and arms a camera, LiberTEM's receiver takes N images
live PORT STREAM SIDE         LiberTEM-live runs a whole SIDE x SIDE acquisition and sums the images
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

import numpy as np


def camera(which: str) -> None:
    from libertem_live.detectors.dectris.sim import DectrisSim

    source = {"num_mock_frames": int(which)} if which.isdigit() else {"path": which}
    sim = DectrisSim(port=0, zmqport=0, dwelltime=100, verbose=False, **source)
    sim.start()
    sim.wait_for_listen()
    print(json.dumps([sim.port, sim.zmqport]), flush=True)
    sys.stdin.read()
    sim.stop()


def receive(port: str, stream: str, mode: str, number: str) -> dict[str, Any]:
    import libertem_dectris
    from libertem_live.detectors.dectris.DEigerClient import DEigerClient

    client = DEigerClient("127.0.0.1", int(port))
    told = {"version": client.version()["value"], "first": client.detectorStatus("state")["value"]}
    client.sendDetectorCommand("initialize")
    told["second"] = client.detectorStatus("state")["value"]
    told["keys"] = client.detectorConfig("keys")
    for name, value in {"mode": "enabled", "format": "legacy", "header_detail": "basic"}.items():
        client.setStreamConfig(name, value)
    told["changed"] = client.setDetectorConfig("count_time", 2e-3)
    for name, value in {"ntrigger": 1, "nimages": 1, "trigger_mode": mode}.items():
        client.setDetectorConfig(name, value)
    client.setDetectorConfig({"exte": "ntrigger", "ints": "nimages"}[mode], int(number))
    with tempfile.TemporaryDirectory() as folder:
        connection = libertem_dectris.DectrisConnection(
            uri=stream,
            handle_path=os.path.join(folder, "socket"),  # noqa: PTH118
            frame_stack_size=8,
            num_slots=64,
            bytes_per_frame=1 << 16,
            huge=False,
        )
        unpacker = libertem_dectris.CamClient(connection.get_socket_path())
        told["series"] = client.sendDetectorCommand("arm")["sequence id"]
        connection.start(told["series"], 10.0)
        if mode == "ints":
            client.sendDetectorCommand("trigger")
        total: Any = None
        sums = []
        while (stack := connection.get_next_stack(max_size=8)) is not None:
            dtype = np.dtype(stack.get_dtype_string())
            images = np.zeros((len(stack), *reversed(stack.get_shape())), dtype)
            unpacker.decode_range_into_buffer(stack, images, 0, len(stack))
            unpacker.done(stack)
            sums += images.sum(axis=(1, 2), dtype=np.int64).tolist()
            total = images.sum(axis=0, dtype=np.int64) + (0 if total is None else total)
        connection.close()
        unpacker.close()
    client.sendDetectorCommand("disarm")
    return {**told, "dtype": dtype.str, "sums": sums, "total": total.tolist()}


def live(port: str, stream: str, side: str) -> dict[str, Any]:
    from libertem.executor.inline import InlineJobExecutor
    from libertem.udf.sum import SumUDF
    from libertem_live.api import LiveContext

    host, _, number = stream.removeprefix("tcp://").rpartition(":")
    context = LiveContext(executor=InlineJobExecutor())
    with context.make_connection("dectris").open(
        api_host="127.0.0.1",
        api_port=int(port),
        data_host=host,
        data_port=int(number),
        buffer_size=64,
        bytes_per_frame=1 << 16,
    ) as connection:
        connection.get_api_client().sendDetectorCommand("initialize")
        connection.get_api_client().setStreamConfig("mode", "enabled")
        acquisition = context.make_acquisition(
            conn=connection,
            nav_shape=(int(side), int(side)),
            frames_per_partition=16,
            controller=connection.get_active_controller(trigger_mode="exte", count_time=2e-3, frame_time=2.0001e-3),
        )
        total = context.run_udf(dataset=acquisition, udf=SumUDF())["intensity"].data
    return {"total": np.rint(total).astype(np.int64).tolist()}


def main() -> None:
    verb, *words = sys.argv[1:]
    if verb == "camera":
        camera(*words)
    else:
        print(json.dumps({"receive": receive, "live": live}[verb](*words)))


if __name__ == "__main__":
    main()
