"""Artefacts under the hash of their content, and the aliases that say which of them is in use.

The non-obvious decision: the log is written before an alias moves, and its entry has all aliases of the name as
they are from then on. So an alias never moves unseen, and what a crash left undone is done by whoever changes
something next. Readers take no lock: a version never changes, and the aliases of a name are one file that is
replaced whole.

    FOLDER/log.jsonl, log.head, lock, revision; .new-*, .broken-* while something is put
    FOLDER/<kind>/<slug of the name>/name, aliases.json
    FOLDER/<kind>/<slug of the name>/versions/<version>/card.json and the files
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from contracts.artefacts import CARD, PREVIOUS, PRODUCTION
from registry.change_log import ChangeLog
from registry.contents import Content, Draft, canonical, contents_of, require_room, sweep, version_of_contents
from registry.disk import locked, make_folder
from registry.faults import Damaged, NotAccepted, NotThere, RegistryFault
from registry.naming import check_alias, check_file, check_kind, check_name, is_version, slug
from registry.reading import Reader
from system.files import replace_file


class StoredArtefact(Struct, frozen=True):
    """A version as it was put. `files` is what `folder` holds beside the card.

    `checked`: its hash was found right. Only what was looked at, and is large, may be unchecked.
    """

    kind: str
    name: str
    version: str
    folder: Path
    card: Mapping[str, Any]
    files: tuple[str, ...]
    checked: bool = True


class Registry:
    """The registry in `folder`, which the first change makes. For any thread and any number of processes.

    Reading blocks on the disk; changing it also waits for other processes. Raises RegistryFault, and OSError where
    the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = ChangeLog(folder)
        self._revision_path = folder / "revision"
        self._reader = Reader()

    def put(
        self, kind: str, name: str, files: Mapping[str, Content], card: Mapping[str, Any], *, by: str = "weir"
    ) -> str:
        """Store an artefact whole or not at all, and return its version, 16 hex digits.

        A file is given as bytes, or as the path of one to copy, which may have gigabytes. The version is a hash
        over the files, their names and the card, so putting the same again changes nothing, unless what is stored
        was damaged: then it is mended. Raises NotAccepted, also where the disk has no room for it.
        """
        for file in files:
            check_file(file)
        contents = contents_of(files, card)
        home = self._home(kind, name)
        require_room(self.folder, contents)
        version = version_of_contents(contents)
        target = home / "versions" / version
        there = target.exists()
        if there and self._reader.version(target) == version:
            with self._changing():
                self._write_put(kind, name, version, by)
            return version
        with self._changing():
            sweep(self.folder)
            draft = Draft(self.folder)
        with draft:
            draft.write(contents, version)
            with self._changing():
                self._make_home(home, name)
                if there or not target.exists():  # else another process has put the same meanwhile
                    draft.place(target)
                self._write_put(kind, name, version, by)
        return version

    def get(self, kind: str, name: str, version_or_alias: str = PRODUCTION) -> StoredArtefact:
        """The artefact, once its content was found to be what was put. Raises NotThere or Damaged."""
        return self._found(kind, name, version_or_alias, large=True)

    def look(self, kind: str, name: str, version_or_alias: str = PRODUCTION) -> StoredArtefact:
        """As `get`, but at once: a large artefact is not read for it, and then is not `checked`.

        For people to look at. What is to decide anything is got.
        """
        return self._found(kind, name, version_or_alias, large=False)

    def _found(self, kind: str, name: str, version_or_alias: str, *, large: bool) -> StoredArtefact:
        version = self._resolved(kind, name, version_or_alias)
        folder = self._home(kind, name) / "versions" / version
        if not folder.is_dir():
            raise NotThere(f"There is no version {version} of {kind} {name} in {self.folder}.")
        try:
            card = json.loads((folder / CARD).read_bytes())
        except (OSError, ValueError):
            card = None
        checked = large or self._reader.is_quick(folder)
        if not isinstance(card, dict) or (checked and self._reader.version(folder) != version):
            raise Damaged(
                f"Version {version} of {kind} {name} is damaged: {folder} does not hold what was put there. "
                "Put the same content again, which mends it, or point the alias at another version."
            )
        files = tuple(sorted(path.name for path in folder.iterdir() if path.name != CARD))
        return StoredArtefact(kind, name, version, folder, card, files, checked)

    def point(
        self,
        kind: str,
        name: str,
        alias: str,
        version: str,
        *,
        by: str,
        reason: str,
        evidence: Mapping[str, Any] | None = None,
    ) -> bool:
        """Let the alias name a version, which is checked first; what production named becomes `previous`.

        Returns whether anything changed. Raises NotThere or Damaged.
        """
        check_alias(alias)
        if not is_version(version):
            raise NotAccepted(f"{version!r} is no version: use the 16 hex digits that `put` gave.")
        self.get(kind, name, version)
        with self._changing():
            aliases = self.aliases(kind, name)
            before = aliases.get(alias, "")
            if before == version:
                return False
            if alias == PRODUCTION and before:
                aliases[PREVIOUS] = before
            aliases[alias] = version
            moved = {"what": "point", "alias": alias, "version": version, "before": before}
            self._move(kind, name, aliases, {**moved, "by": by, "reason": reason, "evidence": evidence or {}})
        return True

    def drop(self, kind: str, name: str, alias: str, *, by: str, reason: str) -> bool:
        """Take an alias away, such as a canary's when it ends. Returns whether it was there."""
        check_alias(alias)
        with self._changing():
            aliases = self.aliases(kind, name)
            before = aliases.pop(alias, "")
            if not before:
                return False
            if alias == PRODUCTION:
                aliases[PREVIOUS] = before
            self._move(
                kind, name, aliases, {"what": "drop", "alias": alias, "before": before, "by": by, "reason": reason}
            )
        return True

    def rollback(
        self,
        kind: str,
        name: str,
        by: str,
        reason: str,
        *,
        evidence: Mapping[str, Any] | None = None,
        of: str | None = None,
    ) -> str:
        """Let production name what it named before, and return that version.

        `previous` names nothing afterwards, so that a second rollback is refused instead of bringing back what was
        just taken out. With `of`, nothing happens unless production still is that version: for several processes
        that see the same harm. Raises NotThere or Damaged.
        """
        with suppress(RegistryFault):
            self.get(kind, name, PREVIOUS)  # a large one is read before others have to wait
        with self._changing():
            aliases = self.aliases(kind, name)
            before = aliases.get(PRODUCTION, "")
            if of is not None and before and before != of:
                return before
            if PREVIOUS not in aliases:
                raise NotThere(
                    f"There is nothing to roll {kind} {name} back to: no alias `{PREVIOUS}`. "
                    f"Point `{PRODUCTION}` at one of its versions, or drop it."
                )
            version = self.get(kind, name, aliases.pop(PREVIOUS)).version
            aliases[PRODUCTION] = version
            moved = {"what": "rollback", "alias": PRODUCTION, "version": version, "before": before}
            self._move(kind, name, aliases, {**moved, "by": by, "reason": reason, "evidence": evidence or {}})
        return version

    def verdict(
        self, kind: str, name: str, version: str, *, passed: bool, by: str, reason: str, evidence: Mapping[str, Any]
    ) -> None:
        """Write down what a gate found about a version, which need not be stored: refused ones may be left out."""
        self._home(kind, name)
        with self._changing():
            self.log.append(
                {
                    "by": by,
                    "what": "verdict",
                    "kind": kind,
                    "name": name,
                    "version": version,
                    "reason": reason,
                    "evidence": _plain({**evidence, "passed": passed}),
                }
            )

    def aliases(self, kind: str, name: str) -> dict[str, str]:
        """Alias to version; empty where the name has none, or is unknown. Raises Damaged."""
        path = self._home(kind, name) / "aliases.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Damaged(
                f"{path} cannot be read ({error}). The log's last entry about {name} has its `aliases`: write them "
                "there, or delete the file and point each alias anew."
            ) from error

    def versions(self, kind: str, name: str) -> list[str]:
        """All that were put, the oldest first."""
        try:
            found = [path for path in (self._home(kind, name) / "versions").iterdir() if is_version(path.name)]
        except FileNotFoundError:
            return []
        return [path.name for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))]

    def names(self, kind: str) -> list[str]:
        """All names of a kind that something was put under."""
        check_kind(kind)
        return sorted(path.read_text() for path in (self.folder / kind).glob("*/name"))

    def kinds(self) -> list[str]:
        return sorted({path.parent.parent.name for path in self.folder.glob("*/*/name")})

    def revision(self) -> int:
        """Another number whenever an alias moved, whoever moved it; 0 at first. Costs one small read."""
        try:
            return int(self._revision_path.read_bytes())
        except (FileNotFoundError, ValueError):
            return 0

    @contextmanager
    def _changing(self) -> Iterator[None]:
        make_folder(self.folder)
        with locked(self.folder / "lock"):
            self._catch_up()
            yield

    def _catch_up(self) -> None:
        """Do what the log says was done, where a process was killed in between."""
        moved, revision = self.log.taken_up().moved, self.revision()
        if moved <= revision:
            return
        for entry in self.log.entries():
            if entry.number > revision and entry.aliases is not None:
                self._write_aliases(entry.kind, entry.name, entry.aliases)
        replace_file(self._revision_path, str(moved).encode())

    def _move(self, kind: str, name: str, aliases: Mapping[str, str], change: Mapping[str, Any]) -> None:
        change = {**change, "evidence": _plain(change.get("evidence", {}))}
        entry = self.log.append({**change, "kind": kind, "name": name, "aliases": aliases})
        self._write_aliases(kind, name, aliases)
        replace_file(self._revision_path, str(entry.number).encode())

    def _write_aliases(self, kind: str, name: str, aliases: Mapping[str, str]) -> None:
        home = self._home(kind, name)
        self._make_home(home, name)
        replace_file(home / "aliases.json", json.dumps(aliases, sort_keys=True).encode())

    def _resolved(self, kind: str, name: str, version_or_alias: str) -> str:
        if is_version(version_or_alias):
            return version_or_alias
        aliases = self.aliases(kind, name)
        if version_or_alias not in aliases:
            known = ", ".join(sorted(aliases)) or "none"
            raise NotThere(
                f"{kind} {name} has no alias or version '{version_or_alias}' in {self.folder}; its aliases: "
                f"{known}. `weir registry list` shows what there is."
            )
        return aliases[version_or_alias]

    def _home(self, kind: str, name: str) -> Path:
        check_kind(kind)
        check_name(name)
        return self.folder / kind / slug(name)

    def _make_home(self, home: Path, name: str) -> None:
        make_folder(home / "versions")
        if not (home / "name").exists():
            replace_file(home / "name", name.encode())

    def _write_put(self, kind: str, name: str, version: str, by: str) -> None:
        """Into the log, where it is not: a process may have been killed before it wrote that down."""
        entries = self.log.entries(kind=kind, name=name)
        if not any((entry.what, entry.version) == ("put", version) for entry in entries):
            self.log.append({"by": by, "what": "put", "kind": kind, "name": name, "version": version})


def _plain(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON, so that nothing is found to be unwritable once the change is under way."""
    return dict(json.loads(canonical(evidence)))
