"""Plain HTTP that leaves this machine is warned of, device by device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocols.rigtext import load_rig, network_findings


@pytest.mark.parametrize(
    ("link", "warned"),
    [
        ("http://127.0.0.1:8001", False),
        ("http://localhost:8001", False),
        ("http://[::1]:8001", False),
        ("http://192.168.1.5:8001", True),
        ("http://localhost.example.org:8001", True),
        ("tcp://192.168.1.5:2224", False),
    ],
)
def test_plain_http_to_anything_but_this_machine_is_warned_of(link: str, warned: bool) -> None:
    rig = load_rig("bench")
    devices = dict(rig.model.devices)
    devices["milling"] = devices["milling"].model_copy(update={"link": link})
    found = network_findings(replace(rig, model=rig.model.model_copy(update={"devices": devices})))
    assert bool(found) is warned
    assert all(said.startswith("milling: plain HTTP to ") and "SSH tunnel" in said for said in found)
