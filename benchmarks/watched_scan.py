"""Files a scan of camera frames and prints its own peak memory last: a process knows only its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.camera import file_it, sending
from benchmarks.watched_run import peak_memory


def main(bits: int, side: int, folder: Path) -> None:
    """Receive `side` x `side` frames into a record below the folder."""
    with sending(bits, side**2) as sender:
        path = folder / f"{side}.nxs"
        file_it(sender, bits, side, path)
        path.unlink()
    print(json.dumps({"peak": peak_memory()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
