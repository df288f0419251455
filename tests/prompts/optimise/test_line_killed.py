"""A search whose process is killed: another one goes on, and pays no call twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prompts.optimise.calls import FILE
from prompts.optimise.line import open_line
from prompts.optimise.order import Order
from prompts.optimise.trial import route_target
from tests.prompts.optimise.search_orders import CONFIG, search_order
from tests.prompts.optimise.test_line import all_at_once, ask, messages

ANSWERED = 40


class _Counting(BaseHTTPRequestHandler):
    """Answers each question with a number of its own, so that a second answer to it is another one. After so many
    it holds all back until its gate opens.
    """

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = self.server.asked  # type: ignore[attr-defined]
        said = "/".join(turn["content"] for turn in body["messages"])
        asked[said] += 1
        if sum(asked.values()) > ANSWERED:
            self.server.gate.wait()  # type: ignore[attr-defined]
        message = {"role": "assistant", "content": f"{said} {time.monotonic_ns()}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        data = json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def counting() -> Iterator[tuple[str, Counter[str], threading.Event]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Counting)
    asked = server.asked = Counter[str]()  # type: ignore[attr-defined]
    gate = server.gate = threading.Event()  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign,assignment]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked, gate
    finally:
        gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


def search_of_a_hundred(order: Order) -> tuple[list[str], Decimal]:
    with open_line(route_target(order), order, cap=Decimal(100)) as line:

        def answered(number: int) -> str:
            case = order.suite.cases[number % 6]
            return ask(line, case, messages(case, f"{number}")).text

        return all_at_once(100, answered), line.spent


def _order_at(folder: Path, base_url: str) -> Order:
    config = {**CONFIG, "upstreams": {"scripted": {"kind": "openai", "base_url": base_url}}}
    return search_order(folder, config=config)


def test_a_killed_search_goes_on_and_pays_no_call_twice(tmp_path: Path) -> None:
    with counting() as (base_url, asked, gate):
        command = [sys.executable, "-c", f"from {__name__} import main; main()", str(tmp_path), base_url]
        killed = subprocess.Popen(command, cwd=Path(__file__).parents[3])
        while sum(asked.values()) < ANSWERED + 8:
            assert killed.poll() is None
            time.sleep(0.005)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        lines = [json.loads(line) for line in (tmp_path / "search" / FILE).read_bytes().splitlines()]
        answered = {line["answered"]: line["answer"]["text"] for line in lines if "answered" in line}
        aside = {line["sent"]: Decimal(line["aside"]) for line in lines if "sent" in line}
        assert len(answered) == ANSWERED
        under_way = aside.keys() - answered.keys()
        gate.set()

        found, spent = search_of_a_hundred(_order_at(tmp_path, base_url))

    assert len(asked) == 100
    assert sorted(asked.values()) == [1] * 92 + [2] * 8, "only what was under way is asked again"
    assert {*answered.values()} <= {*found}
    price = Decimal(9 * 1 + 9 * 2) / 1_000_000
    assert spent == 100 * price + sum(aside[key] for key in under_way)


def main() -> None:
    search_of_a_hundred(_order_at(Path(sys.argv[1]), sys.argv[2]))
