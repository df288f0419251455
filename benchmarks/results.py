"""Runs the short form of all four benchmarks in under 10 minutes, and writes benchmarks/RESULTS.md.

    make bench
    .venv/bin/python benchmarks/results.py --only overhead,streams --output /tmp/results.md

Peers that are missing are installed first; where that fails, as without a network, the rest is measured without
them. A part that fails is reported in its place, and does not cost the figures of the others.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import overhead, overhead_results, peers, scale, soak, soak_results, streams
from benchmarks.systems import ROOT, require_programs
from benchmarks.targets import Target, table

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
_NOTES = Console(stderr=True, soft_wrap=True)

Results = list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """One benchmark in its short form."""

    name: str
    title: str
    run: Callable[[], Results]
    markdown: Callable[[Results], str]
    targets: Callable[[Results], list[Target]]


PARTS = (
    Part("overhead", "Cost of a request", overhead.short, overhead_results.markdown, overhead_results.targets),
    Part("streams", "Streams", lambda: streams.run(1), streams.markdown, streams.targets),
    Part("soak", "Soak", lambda: soak.run(0.75, warm_s=35), soak_results.markdown, soak_results.targets),
    Part("scale", "Scale", lambda: scale.run(2, 2, counted=500), scale.markdown, scale.targets),
)


@dataclass
class Findings:
    """What one part found, or why it found nothing."""

    part: Part
    text: str
    took_s: float
    targets: list[Target] = field(default_factory=list)
    failed: bool = False


def measured(part: Part) -> Findings:
    """Runs it; its failure becomes its text."""
    _NOTES.rule(part.title)
    began = time.monotonic()
    try:
        results = part.run()
        text, targets, failed = part.markdown(results), part.targets(results), False
    except Exception as error:  # noqa: BLE001  whatever it was, the other parts' figures are worth having
        traceback.print_exc()
        text, targets, failed = f"This part failed: {type(error).__name__}: {error}", [], True
    return Findings(part, text, time.monotonic() - began, targets, failed)


# --- where it was measured -----------------------------------------------------------------------------

_LIBRARIES = ("aiohttp", "uvicorn", "uvloop", "httptools", "orjson")
_PROGRAMS = {
    "nginx": ["nginx", "-v"],
    "wrk": ["wrk", "-v"],
    "Node.js": ["node", "--version"],
    "PostgreSQL": ["psql", "--version"],
    "Redis": ["redis-server", "--version"],
}


def machine() -> dict[str, str]:
    """The processor, its cores, the memory and the kernel."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"))
    return {
        "processor": model[1] if model else platform.processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) / 1024**2:.0f} GiB" if memory else "unknown",
        "system": f"{platform.system()} {platform.release()}",
        "load average before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """Of Weir, what it runs on, the peers and the tools."""
    commit = _said(["git", "describe", "--always", "--dirty"])
    return {
        "Weir": f"{version('weir')} {f'({commit})' if commit else ''}".strip(),
        "Python": platform.python_version(),
        **{library: version(library) for library in _LIBRARIES},
        **{peer.name: peer.version for peer in peers.PINNED.values() if peer.installed()},
        **{name: found[0] for name, command in _PROGRAMS.items() if (found := _number(_said(command)))},
    }


def _said(command: Sequence[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    return (done.stdout + done.stderr).strip() if command[0] != "git" or done.returncode == 0 else ""


def _number(said: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)+", said)


# --- the page ------------------------------------------------------------------------------------------

_CAVEATS = """\
- Figures are those of one machine and one moment; the ratios within a table carry over better than the figures. The
  load generator, the mock upstream and the system measured share its {cores} cores.
- This is the short form: seconds, not hours. Tails of slow systems rest on few requests. Each script of this folder
  has a longer form.
- Weir runs as shipped: keys, limits, exact cache, usage events and metrics are on. Peers run in their fastest
  normal setting: LiteLLM under Granian, with a key and without a database; TensorZero without observability and
  keys; Portkey without keys and without its console. The bare forwarder (`bare.py`) and nginx have no features.
- One worker is one process. TensorZero's uses as many cores as it finds free, the others one: compare CPU seconds.
- A minute is short for the slope of memory, as a heap settles for longer: `soak.py` has ten, and is the judge.
- wrk corrects its quantiles for the requests that it could not send while it waited, for all systems alike.
- Not measured, since Weir has none yet: classifier, encoder, budgets, semantic cache.
- Not measured either: TLS, networks, real providers, long prompts, peers with databases.
"""


def page(findings: Sequence[Findings], command: str, took_s: float) -> str:
    """The whole of RESULTS.md."""
    here = machine()
    judged = [target for found in findings for target in found.targets]
    missed = sum(target.met is False for target in judged)
    unknown = sum(target.met is None for target in judged)
    parts = [
        "# Results",
        f"Written by `{command}` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, in {took_s / 60:.1f} minutes.",
        "## Targets",
        f"Of {len(judged)} targets {missed} were missed and {unknown} could not be judged.{_absent()}",
        table(judged),
    ]
    for found in findings:
        parts += [f"## {found.part.title}", f"`benchmarks/{found.part.name}.py`, {found.took_s:.0f} s.", found.text]
    parts += ["## Machine and versions", _listed(here), _listed(versions())]
    return "\n\n".join([*parts, "## How to read this", _CAVEATS.format(cores=here["cores"])])


def _absent() -> str:
    names = [peer.name for peer in peers.PINNED.values() if not peer.installed()]
    return f" Not installed, and so not measured: {', '.join(names)}." if names else ""


def _listed(facts: dict[str, str]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in facts.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [part.name for part in PARTS]
    parser.add_argument("--only", default=",".join(names), help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=RESULTS, help="default: %(default)s")
    args = parser.parse_args()
    chosen = args.only.split(",")
    if unknown := set(chosen) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    require_programs()
    peers.install()
    began = time.monotonic()
    findings = [measured(part) for part in PARTS if part.name in chosen]
    command = shlex.join(["make", "bench", *([f"ARGS={shlex.join(sys.argv[1:])}"] if sys.argv[1:] else [])])
    args.output.write_text(page(findings, command, time.monotonic() - began), encoding="utf-8")
    _NOTES.print(f"Written to {args.output}")
    if any(found.failed for found in findings):
        sys.exit(1)


if __name__ == "__main__":
    main()
