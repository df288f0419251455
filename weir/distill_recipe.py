"""What the verbs of `weir distill` that work through a recipe share: their options, and what is made of them."""

from __future__ import annotations

import errno
import functools
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from encoder.card import EncoderFault, read_card
from weir.encoding import encode_with, encoder_option, session_of
from weir.eval_run import Dollars
from weir.router_artefact import json_option, operator, subject
from weir.state import state_dir

if TYPE_CHECKING:
    from distill.student.means import Means
    from distill.student.recipe import Recipe
    from distill.student.running import Tell
    from evals.scorers.port import Vectors

STOPPED = 130
"""The exit status after Ctrl-C, as shells have it."""
_EXTRAS = "pip install 'weir[learn,evals,semantic,gguf]'"
_LEARN = ("gguf", "lightgbm", "scipy", "sklearn")
"""What the stages import of the extra `learn`, some of it only after an hour of training."""
_Command = Callable[..., Any]
_file = click.Path(path_type=Path, dir_okay=False, exists=True)
_SETTINGS = {
    "route": "route",
    "tenant": "tenant",
    "config": "config",
    "logs": "logs",
    "suite": "suite",
    "teacher": "teacher.model",
    "cap_usd": "teacher.cap_usd",
    "base": "train.base",
    "train_python": "train_python",
    "compress_python": "compress.python",
    "vllm_python": "engines.vllm.python",
}
"""Options, and the settings of a recipe that they stand for."""
_OPTIONS = (
    click.argument("recipe", required=False, type=_file),
    click.option("--route", help="The route that the student will answer for."),
    click.option("--tenant", help="Whose traffic it learns from; left out where all of them learn together."),
    click.option("--config", type=_file, help="The configuration.  [default: the recipe's; else weir.yaml]"),
    click.option(
        "--log",
        "logs",
        multiple=True,
        type=_file,
        help="A log of JSON lines, in place of the recipe's. Can be given several times.",
    ),
    click.option(
        "--suite",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        help="The eval suite to test with.",
    ),
    click.option("--teacher", metavar="MODEL", help="The model or route that teaches."),
    click.option("--cap-usd", type=Dollars(), help="The teacher may take no more than this, over all starts."),
    click.option("--base", metavar="PATH|NAME", help="The model to begin with, in the form of Hugging Face's."),
    click.option(
        "--from-scratch",
        "scratch",
        type=click.Choice(["tiny"]),
        help="Begin without any: a tiny Llama with a tokenizer of its own, trained on a CPU in minutes.",
    ),
    click.option("--train-python", type=_file, help="The Python of an environment with torch and TRL."),
    click.option("--compress-python", type=_file, help="The Python of an environment with llm-compressor."),
    click.option("--vllm-python", type=_file, help="The Python of an environment with vLLM."),
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        help="The work folder.  [default: distill/NAME in the state folder]",
    ),
    encoder_option,
    json_option,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line says: a recipe, and where it is worked through."""

    recipe: Recipe
    folder: Path
    encoder: Path
    as_json: bool


def of_a_recipe(verb: _Command) -> _Command:
    """Gives `verb` the options, and calls it with an `Order` before its own."""

    @functools.wraps(verb)
    def with_order(
        *,
        recipe: Path | None,
        out: Path | None,
        encoder: Path,
        scratch: str | None,
        as_json: bool,
        **others: Any,
    ) -> Any:
        told = {name: others.pop(name) for name in _SETTINGS}
        with faults():
            found = _recipe(recipe, told, scratch)
        _need_libraries()
        folder = out or state_dir() / "distill" / found.name
        return verb(Order(recipe=found, folder=folder, encoder=encoder, as_json=as_json), **others)

    for option in reversed(_OPTIONS):
        with_order = option(with_order)
    return with_order


def _need_libraries() -> None:
    if lacking := [name for name in _LEARN if find_spec(name) is None]:
        raise click.ClickException(f"This needs {', '.join(lacking)}: {_EXTRAS}.")


def _recipe(path: Path | None, told: Mapping[str, Any], scratch: str | None) -> Recipe:
    """Raises RecipeUnusable, click.UsageError."""
    from distill.student.recipe import read_recipe, recipe_of

    if told["base"] and scratch:
        raise click.UsageError("--from-scratch begins without a model: no --base.")
    changes = {_SETTINGS[name]: value for name, value in told.items() if value not in (None, ())}
    if isinstance(changes.get("teacher.cap_usd"), Decimal):
        changes["teacher.cap_usd"] = str(changes["teacher.cap_usd"])
    if scratch:
        changes["train"] = {}
    if path is not None:
        return read_recipe(path, changes)
    if not told["route"]:
        raise click.UsageError("Name a recipe, or a --route to learn for.")
    return recipe_of({"name": told["route"]}, changes, path=Path("recipe.yaml"))


def means_of(order: Order) -> Means:
    """Raises click.ClickException. The encoder is loaded when the first text is encoded."""
    from distill.student.means import Means

    about = subject(order.recipe.config, order.recipe.route, order.recipe.tenant or None)
    try:
        version = read_card(order.encoder).version
    except EncoderFault as error:
        raise click.ClickException(str(error)) from error

    @functools.cache
    def encode() -> Callable[[Sequence[str]], Vectors]:
        return encode_with(session_of(order.encoder))

    return Means(
        recipe=order.recipe,
        loaded=about.loaded,
        folder=order.folder,
        state=state_dir(),
        encode=lambda texts: encode()(texts),
        encoder=order.encoder,
        version=version,
        by=operator(),
    )


@contextmanager
def watched(hidden: bool) -> Iterator[Tell]:
    """A bar of what is being done, on standard error, and only where somebody looks."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown = console.is_terminal and not hidden
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("", total=None)

        def tell(what: str, done: int, of: int) -> None:
            progress.update(task, description=what, completed=done, total=of or None)

        yield tell


def said(order: Order) -> Callable[[str], object]:
    """Notes beside the result, on standard error."""
    return lambda note: None if order.as_json else click.echo(note, err=True)


def again() -> str:
    """The command that goes on."""
    return shlex.join(["weir", *sys.argv[1:]])


@contextmanager
def heeding() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: what was done is kept. Raises click's Exit."""
    # A shell starts what runs in its background with SIGINT ignored, and nothing would end it then.
    before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler)}
    before[signal.SIGTERM] = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"Stopped. What was done is kept. To go on: {again()}", err=True)
        raise click.exceptions.Exit(STOPPED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _of_the_system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    said = f"{where}{error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{said}: make room, or name another folder with --out. What was done is kept; to go on: {again()}"
    return said


@contextmanager
def faults() -> Iterator[None]:
    """What can be wrong with a recipe, its data, other environments or this installation."""
    try:
        from distill.student.child import StageFailed
        from distill.student.running import FolderRefused, StageMissing
        from distill.student.searching.search import SearchUnusable
        from evals.importing.draft import Unusable
        from evals.run_folder import RunUnusable
        from evals.targets.port import TargetFailure
        from registry.faults import RegistryFault
    except ImportError as error:
        raise click.ClickException(f"{error}: {_EXTRAS}") from error
    told = (StageFailed, StageMissing, FolderRefused, SearchUnusable, Unusable, RunUnusable)
    try:
        yield
    except (*told, TargetFailure, RegistryFault, ValueError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(_of_the_system(error)) from error
    except ImportError as error:
        raise click.ClickException(f"{error}: {_EXTRAS}") from error
