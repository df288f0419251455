"""`weir eval view`: it serves, says where, and ends at Ctrl-C."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

from click.testing import CliRunner

from tests.evals.reporting.runs import cases, good_but, write_run
from weir.eval import eval as eval_group


def test_serves_until_ctrl_c(tmp_path: Path) -> None:
    write_run(tmp_path / "large", cases(6), good_but(3))
    command = [sys.executable, "-m", "weir", "eval", "view", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        with urlopen(url, timeout=60) as reply:
            assert "/run?name=large" in reply.read().decode()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(eval_group, ["view", str(tmp_path), "--port", str(port)])
    assert result.exit_code == 1
    assert "Choose another --port" in result.output


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(eval_group, ["view", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "nowhere" in result.output
