"""The child process of a vllm upstream: it starts vLLM with the Python of vLLM's own environment, and watches it.

It reads its settings as one line of JSON from standard input, prints its address as one line of JSON once vLLM is
well, and waits for that input to end: the pipe breaks when the parent dies, however it dies. The non-obvious
decision: it does not ask vLLM to end. vLLM is several processes, which do not all notice the end of one another;
they are in this one's process group, and all of it is killed. Only the standard library is imported here.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any, NoReturn

_LOOK_S = 0.1
_PR_SET_PDEATHSIG = 1
_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables about Weir's environment, which is not vLLM's."""
_USUAL = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB, where it runs on a CPU: its own default is half of the memory
}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def main() -> None:
    announcements = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing that vLLM prints may pass for an announcement
    settings = json.loads(sys.stdin.buffer.readline())
    port = free_port()
    server = start(settings, port)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    while server.poll() is None and not is_well(port):
        time.sleep(_LOOK_S)
    if server.poll() is None:
        with announcements:
            print(json.dumps({"address": f"http://127.0.0.1:{port}"}), file=announcements)
    print(f"vLLM ended with status {server.wait()}", file=sys.stderr, flush=True)
    _kill_all()


def start(settings: dict[str, Any], port: int) -> subprocess.Popen[bytes]:
    """vLLM's server. The key goes by its environment, since every process can see arguments."""
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    offline = _OFFLINE if settings["offline"] else {}
    return subprocess.Popen(  # noqa: S603 - the configuration says what is run
        [
            settings["python"],
            *("-P", "-m", "vllm.entrypoints.openai.api_server"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *settings["arguments"],
        ],
        stdin=subprocess.DEVNULL,
        env={**_USUAL, **kept, **offline, "VLLM_API_KEY": settings["api_key"]},
        preexec_fn=_die_with_the_starter,
    )


def free_port() -> int:
    """One that was free a moment ago; where another takes it, vLLM ends and is started again."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def is_well(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _die_with_the_starter() -> None:
    """Where this process alone is killed, the parent kills the group; where both are, the kernel does this much."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_the_parent() -> None:
    sys.stdin.buffer.read()
    _kill_all()


def _kill_all() -> NoReturn:
    """End the group, this process with it. It leads the group, so nothing else is in it."""
    os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
