"""`cryolift serve`: what it writes and says, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from drivers.clock import wall_seconds, wall_sleep
from protocols import passports, riglock
from protocols.cli import app
from protocols.passports import passport_path
from protocols.rigtext import RigFileError, load_rig, read_rig, unattended_findings
from protocols.serving import SHORTEST_TOKEN, Wanted, served_rig, serving

BENCH = load_rig("bench-exact")
PORTS = {"serial": "serial:/dev/pts/7", "udp": "udp://127.0.0.1:10001", "http": "http://127.0.0.1:80{place:02}"}
BOXES = list(dict.fromkeys(entry.link for entry in BENCH.model.devices.values()))  # devices on one link are one box
ADDRESSES = {
    name: PORTS.get(BENCH.kind(name).port, "tcp://127.0.0.1:70{place:02}").format(place=BOXES.index(entry.link))
    for name, entry in BENCH.model.devices.items()
}
ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # s of wall time


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data folder is a temporary one."""
    for module in (riglock, passports):
        monkeypatch.setattr(module, "user_data_path", lambda name: tmp_path / "user" / name)
    return tmp_path / "user"


def said(*words: str) -> Result:
    return CliRunner().invoke(app, ["serve", *words])


# --- the rig file of what is served


def test_the_served_rig_is_the_rig_with_addresses_a_date_and_a_clock() -> None:
    text = served_rig(BENCH, ADDRESSES, 20.0)
    rig = read_rig(text, "served.yaml").model
    assert {name: entry.link for name, entry in rig.devices.items()} == ADDRESSES
    assert rig.simulation is None
    assert rig.clock.speed == 20.0
    for calibration in (rig.calibrations.beam_current, rig.calibrations.scan_scale):
        assert isinstance(calibration.taken, datetime)
        assert timedelta(0) <= datetime.now(UTC) - calibration.taken < timedelta(minutes=1)
    assert rig.optics == BENCH.model.optics
    assert rig.positions == BENCH.model.positions
    assert "# above it ice turns crystalline" in text  # what people wrote beside it stays


def test_a_rig_that_is_served_faster_is_practice_and_keeps_its_books_apart(user: Path, tmp_path: Path) -> None:
    fast = read_rig(served_rig(BENCH, ADDRESSES, 20.0), "fast.yaml")
    assert not fast.model.simulated
    assert fast.model.practice
    assert passport_path(fast.model, "wafer", tmp_path / "run").parent == tmp_path / "run"
    assert unattended_findings(fast) == []


def test_a_rig_at_the_pace_of_instruments_is_taken_for_one(user: Path, tmp_path: Path) -> None:
    alone = re.sub("^blank_channel:.*$", "", served_rig(BENCH, ADDRESSES, 1.0), flags=re.MULTILINE)
    slow = read_rig(alone, "slow.yaml")
    assert not slow.model.practice
    assert user in passport_path(slow.model, "wafer", tmp_path / "run").parents
    assert unattended_findings(slow) != []


@pytest.mark.parametrize(
    "clock", ["{speed: 0}", "{speed: -1}", "{speed: .nan}", "{speed: 1e5}", "{pace: 2}", "{speed: fast}"]
)
def test_a_clock_that_cannot_be_is_refused(clock: str) -> None:
    with pytest.raises(RigFileError, match=r"line \d+, column \d+: clock"):
        read_rig(served_rig(BENCH, ADDRESSES, 1.0) + f"clock: {clock}\n", "my.yaml")


def test_the_clock_of_a_simulated_rig_has_no_speed() -> None:
    with pytest.raises(RigFileError, match="clock: the clock of a rig of sim: links"):
        read_rig(BENCH.text + "clock: {speed: 20}\n", "my.yaml")


def test_a_clock_with_a_speed_is_for_boxes_on_this_computer_only() -> None:
    elsewhere = ADDRESSES | {"cryostat": "tcp://10.0.0.5:7777"}
    served_rig(BENCH, elsewhere, 1.0)
    with pytest.raises(RigFileError, match=r"tcp://10\.0\.0\.5:7777 is on another computer"):
        served_rig(BENCH, elsewhere, 20.0)


# --- what is refused


def test_a_real_rig_is_not_served(tmp_path: Path) -> None:
    file = tmp_path / "real.yaml"
    file.write_text(served_rig(BENCH, ADDRESSES, 1.0), encoding="utf-8")
    result = said("--rig", str(file))
    assert result.exit_code == 1
    assert "only simulated boxes can be served" in result.output


@pytest.mark.parametrize(
    "words",
    [
        ["--host", "0.0.0.0"],
        ["--host", "0.0.0.0", "--token", "x" * (SHORTEST_TOKEN - 1)],
        ["--host", "10.0.0.5", "--token", ""],
        ["--host", "my-computer"],
        ["--token", "x" * SHORTEST_TOKEN],
        ["--host", "127.0.0.1", "--token", "x" * SHORTEST_TOKEN],
    ],
)
def test_nobody_outside_is_let_in_without_a_token(words: list[str]) -> None:
    result = said(*words)
    assert result.exit_code == 2
    assert "token" in result.output


def test_an_address_that_this_computer_has_not_is_said_in_one_line() -> None:
    result = said("--host", "203.0.113.7", "--token", "x" * SHORTEST_TOKEN)  # of a network kept for documentation
    assert result.exit_code == 1
    assert "column outside: a port of 203.0.113.7 cannot be had (" in result.stderr
    assert result.stderr.strip().endswith("Is that an address of this computer, and the port free?")
    assert "Errno" not in result.stderr


def test_a_file_that_cannot_be_written_is_said_before_anything_is_served(tmp_path: Path) -> None:
    result = said("--addresses", str(tmp_path / "nowhere" / "addresses.json"))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.strip() == f"{tmp_path / 'nowhere'}: No such file or directory. Choose another place."


def test_a_rig_without_http_devices_is_not_reached_from_outside() -> None:
    tcp = {name: replace(kind, port="tcp") for name, kind in BENCH.kinds.items()}
    outside = Wanted(host="0.0.0.0", token="x" * SHORTEST_TOKEN)
    with pytest.raises(RigFileError, match="no HTTP device"), serving(replace(BENCH, kinds=tcp), outside):
        pass


def test_only_http_devices_are_reached_from_outside_and_only_with_the_token() -> None:
    with serving(BENCH, Wanted(host="0.0.0.0", token="open sesame 123456")) as now:
        assert now.outside.keys() == {name for name in now.addresses if BENCH.kind(name).port == "http"}
        assert all("//127.0.0.1:" in address for name, address in now.addresses.items() if name != "needle")
        answers = [
            asked(now.outside["beams"], said) for said in ("", "Bearer open sesame", "Bearer open sesame 123456")
        ]
        assert answers == [401, 401, 200]
        assert asked(now.addresses["beams"], "") == 200


def asked(address: str, token: str) -> int:
    """The status with which a FIB-SEM answers whether it is well."""
    place = urlsplit(address)
    with closing(HTTPConnection("127.0.0.1", place.port, timeout=5.0)) as host:
        host.request("GET", "/health", headers={"Authorization": token} if token else {})
        return host.getresponse().status


# --- as a process


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent to one process alone only elsewhere")
def test_serve_writes_addresses_that_answer_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    found, rig = tmp_path / "addresses.json", tmp_path / "served.yaml"
    found.write_text("of yesterday", encoding="utf-8")
    words = [sys.executable, "-m", "protocols", "serve", "--rig", "bench-exact", "--speed", "20"]
    words += ["--addresses", str(found), "--rig-file", str(rig)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words, cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            end = wall_seconds() + PATIENCE
            while not (found.exists() and found.read_text(encoding="utf-8").startswith("{")):
                assert wall_seconds() < end
                assert process.poll() is None, process.communicate()
                wall_sleep(0.02)
            addresses = json.loads(found.read_text(encoding="utf-8"))
            assert CliRunner().invoke(app, ["doctor", "--rig", str(rig)]).exit_code == 0
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert errors == ""
    assert addresses.keys() == BENCH.model.devices.keys()
    assert addresses["chamber_stage"] == addresses["milling"]
    assert "?stream=tcp://127.0.0.1:" in addresses["camera"]
    for name, address in addresses.items():
        assert f"{name:13}  {address}" in output
    assert "20 times as fast" in output
    assert not list(tmp_path.glob("*.part"))
