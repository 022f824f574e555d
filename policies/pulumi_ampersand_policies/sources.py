"""Where an audit finds connections: projects of the API, saved answers, what an audit kept, and stacks' states.

What can't be read ends nothing: it stands in the source's ``error`` and among what the inventory lacks, and the others
are judged all the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from pulumi_ampersand.answers import repair_text
from pulumi_ampersand.details import UNREADABLE
from pulumi_ampersand.errors import AmpersandError, AnswerError, SettingsError
from pulumi_ampersand.inventory import Inventory, InventoryForLater
from pulumi_ampersand.model import DETAILS_GAP
from pulumi_ampersand.query import Query
from pulumi_ampersand.settings import API_KEY_VARIABLE, Details, Settings
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies import ahead
from pulumi_ampersand_policies.audit import Part
from pulumi_ampersand_policies.data_source import (
    DATA_SOURCE_TYPES,
    SIGNATURE,
    UNKNOWN,
    UNKNOWN_UNTIL_UPDATE,
)
from pulumi_ampersand_policies.evaluation import Judged
from pulumi_ampersand_policies.options import STANDARD_INPUT
from pulumi_ampersand_policies.pulumi_cli import PulumiError, pulumi
from pulumi_ampersand_policies.report import Source, SourceKind, count

if TYPE_CHECKING:
    from pulumi_ampersand.client import Client

_PROJECTS_AT_ONCE: Final = 8
_EXPORT_SECONDS: Final = 300

Done = Callable[[Source], None]
"""Is told of each source as soon as it was read, from any thread."""


class Filters(NamedTuple):
    """Which connections are judged: those that match each filter that is given."""

    provider: str | None = None
    group_ref: str | None = None
    consumer_ref: str | None = None

    def checked(self) -> Query:
        """The same as a query.

        Raises:
            SettingsError: One is empty.
        """
        return Query(provider=self.provider, group_ref=self.group_ref, consumer_ref=self.consumer_ref)

    def of(self, inventory: Inventory) -> Inventory:
        """What of an inventory matches."""
        query = self.checked()
        if query == Query():
            return inventory
        return inventory.where(lambda entry: query.matches((entry.connection, entry.observation)))

    def unclear(self, inventory: Inventory) -> list[str]:
        """What could not be chosen, because what decides it could not be read."""
        query = self.checked()
        if query == Query():
            return []
        fields = Counter(query.unclear((entry.connection, entry.observation)) for entry in inventory)
        return [
            f"{count(number, 'connection')} could not be chosen or left out: {field} could not be read"
            for field, number in sorted((field, number) for field, number in fields.items() if field is not None)
        ]


@dataclass(frozen=True)
class Api:
    """The projects that an API key can read.

    Attributes:
        environ: The environment, which has the API key and root.
        filters: Which connections are read.
        details: See `pulumi_ampersand.settings.Details`.
        done: See `Done`.
    """

    environ: Mapping[str, str]
    filters: Filters
    details: Details
    done: Done

    def read(self, projects: Sequence[str], *, every: bool) -> list[Part]:
        """Read projects, several at once.

        Args:
            projects: The projects, ID or name.
            every: Whether to read all others that the key can read, too.

        Returns:
            A part for each, in their order; one for the whole API if it could not say which projects there are.

        Raises:
            SettingsError: There is no key, or a setting can't be used.
        """
        from pulumi_ampersand.client import Client  # noqa: PLC0415 - saved answers need no HTTP

        with Client(Settings(api_key_env=API_KEY_VARIABLE).resolve({}, self.environ)) as client:
            names = list(dict.fromkeys(projects))
            parts = []
            if every:
                try:
                    listed = client.list_projects()
                    named = {*names}
                    names += [project.id for project in listed if not {project.id, project.name} & named]
                    if not names:
                        parts.append(_failed(SourceKind.PROJECT, "all projects", "the API key can read no project"))
                        self.done(parts[0].source)
                except AmpersandError as error:
                    parts.append(_failed(SourceKind.PROJECT, "all projects", error))
                    self.done(parts[0].source)
            return parts + self._read_all(client, names)

    def _read_all(self, client: Client, names: Sequence[str]) -> list[Part]:
        pool = ThreadPoolExecutor(_PROJECTS_AT_ONCE)
        try:
            reads = [pool.submit(self._read, client, name) for name in names]
            # A signal that another thread is told of wakes nobody who waits without an end.
            while wait(reads, timeout=ahead.ATTENTION).not_done:
                pass
            return [read.result() for read in reads]
        finally:
            # Whoever is interrupted doesn't wait for the others.
            pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, client: Client, name: str) -> Part:
        try:
            inventory = Inventory(client.list_connections(name, **self.filters._asdict(), details=self.details), name)
            part = _complete(SourceKind.PROJECT, name, inventory, _failed_details(inventory))
        except SettingsError:
            raise
        except AmpersandError as error:
            part = _failed(SourceKind.PROJECT, name, error)
        self.done(part.source)
        return part


def _failed_details(inventory: Inventory) -> list[str]:
    """What could not be read of single connections. The others' reasons are in their findings."""
    reasons = [
        entry.observation.gaps[DETAILS_GAP]
        for entry in inventory
        if entry.observation.gaps.get(DETAILS_GAP, "").startswith(UNREADABLE)
    ]
    if not reasons:
        return []
    if len(reasons) == 1:
        return [f"one connection: {reasons[0]}"]
    return [f"{len(reasons)} connections: {reasons[0].replace('its', 'their', 1)}"]


def from_file(
    name: str,
    filters: Filters,
    *,
    for_rules: bool = False,
    judge: Callable[..., Judged] | None = None,
    compares: bool = True,
) -> Part:
    """Read a file: a saved answer of the API, what an audit kept, or a state that ``pulumi stack export`` wrote.

    Args:
        name: The file; ``-`` is standard input.
        filters: Which connections.
        for_rules: Whether only rules of this package look at them; see `Inventory.for_rules`.
        judge: Judges connections as soon as they are read, where that is of use; see `Part`, and
            `pulumi_ampersand_policies.evaluation.judge` for its arguments.
        compares: Whether there are rules that compare connections.
    """
    shown = "standard input" if name == STANDARD_INPUT else one_line(name)
    try:
        if judge is not None and ahead.is_large(name):
            part = _in_pieces(Path(name), shown, filters, judge, compares=compares)
            if part is not None:
                return part
        data = sys.stdin.buffer.read() if name == STANDARD_INPUT else ahead.content(name)
    except OSError as error:
        return _failed(SourceKind.ANSWER, shown, f"can't be read: {error.strerror}")
    start = re.match(rb"(?:\xef\xbb\xbf)?\s*", data)
    data = data[start.end() :] if start is not None and start.end() else data
    return _of_text(data, shown, filters, Inventory.for_rules if for_rules else Inventory.from_answer)


def _in_pieces(
    file: Path, shown: str, filters: Filters, judge: Callable[..., Judged], *, compares: bool
) -> Part | None:
    """Read and judge a large answer; None if it is none, or isn't as the API promises.

    Raises:
        OSError: It can't be read.
    """
    from pulumi_ampersand.saved_answer import AnswerFile, PieceReader  # noqa: PLC0415 - small answers don't need it
    from pulumi_ampersand_policies.pieces import judge_in_pieces  # noqa: PLC0415

    answer, compared = AnswerFile(file), Judged()

    def judge_chosen(inventory: Inventory) -> tuple[int, Judged]:
        chosen = filters.of(inventory)
        return len(chosen), judge(chosen)

    def compare(spans: Sequence[tuple[int, int]]) -> None:
        nonlocal compared
        if compares:
            compared = judge(filters.of(Inventory.of_saved(PieceReader(answer).read_outlines(spans))), whole=True)

    found = judge_in_pieces(answer, judge_chosen, compare)
    if found is None or compared.crashed:
        return None
    found.judged.extend(compared)
    # Only some reports look at the connections themselves.
    whole = InventoryForLater(found.chosen, lambda: filters.of(Inventory.for_rules(answer.part(0, answer.size))))
    return Part(Source(SourceKind.ANSWER, shown, found.chosen), whole, found.judged)


def _of_text(data: bytes, shown: str, filters: Filters, of_answer: Callable[[bytes], Inventory]) -> Part:
    kind = SourceKind.ANSWER
    if not data or data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return _failed(kind, shown, "is UTF-16 text; save it as UTF-8" if data else "is empty")
    try:
        if not data.startswith(b"{"):
            return _chosen(kind, shown, of_answer(data), filters)
        content = _object(data)
        if "deployment" in content:
            kind = SourceKind.STATE
            return _of_state(kind, shown, content, filters)
        if "observations" in content:
            inventory = Inventory.from_saved(data)
            return _chosen(kind, shown, inventory, filters, _failed_details(filters.of(inventory)))
        if "schemaVersion" in content:
            return _failed(kind, shown, "is a report of an audit; to compare with it, give it as --baseline")
        if "status" in content:
            # The API's answer about a single connection.
            return _chosen(kind, shown, of_answer(b"[" + data + b"]"), filters)
    except AnswerError as error:
        return _failed(kind, shown, error)
    return _failed(
        kind,
        shown,
        "is neither a list of connections as the API sends it, nor what audit --save kept, nor what "
        "pulumi stack export wrote",
    )


def _object(data: bytes) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(repair_text(data), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise AnswerError(f"is no JSON: {error}") from None


def from_stack(name: str, filters: Filters) -> Part:
    """Read a stack's state through ``pulumi stack export``.

    Args:
        name: The stack, as the Pulumi CLI knows it in this folder.
        filters: Which connections.
    """
    kind, shown = SourceKind.STACK, one_line(name)
    try:
        state = pulumi(("stack", "export"), f"--stack={name}", seconds=_EXPORT_SECONDS)
        return _of_state(kind, shown, _object(state), filters)
    except (AnswerError, PulumiError) as error:
        return _failed(kind, shown, error)


class _Resource(msgspec.Struct):
    urn: str
    type: str
    inputs: msgspec.Raw = msgspec.Raw(b"{}")
    delete: bool = False


class _Deployment(msgspec.Struct):
    resources: list[_Resource] | None = None


def _of_state(kind: SourceKind, shown: str, content: Mapping[str, msgspec.Raw], filters: Filters) -> Part:
    """What the data sources in a state have read.

    Raises:
        AnswerError: It is no state.
    """
    try:
        deployment = msgspec.json.decode(content.get("deployment", msgspec.Raw(b"null")), type=_Deployment)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AnswerError(f"is no state that pulumi stack export wrote: {error}") from None
    sources = [part for part in deployment.resources or () if part.type in DATA_SOURCE_TYPES and not part.delete]
    if not sources:
        return _failed(kind, shown, "its state has no Ampersand data source, so there is nothing to judge")
    read = [
        (resource.urn.rpartition("::")[2], _of_inputs(msgspec.json.decode(resource.inputs))) for resource in sources
    ]
    inventory = Inventory.merge([found for _, found in read if isinstance(found, Inventory)])
    errors = [f"{name}: {found}" for name, found in read if isinstance(found, str)]
    return _chosen(kind, shown, inventory, filters, errors)


_INPUTS: Final = ("connections", "observations", "project")
_FOREIGN: Final = "its connections are of another version of pulumi-ampersand; run: pulumi refresh"


def _plain(value: Any) -> Any:
    """A value that was exported with --show-secrets, taken out of its wrapping."""
    if isinstance(value, dict) and SIGNATURE in value and isinstance(value.get("plaintext"), str):
        try:
            return json.loads(value["plaintext"])
        except (ValueError, RecursionError):
            return value
    return value


def _of_inputs(inputs: Any) -> Inventory | str:
    """What a data source has read, or a clause that says why that isn't known."""
    if not isinstance(inputs, dict):
        return _FOREIGN
    connections, observations, project = (_plain(inputs.get(name)) for name in _INPUTS)
    if connections is None or observations is None:
        return "its state has no connections; run: pulumi refresh"
    if UNKNOWN in (connections, observations):
        return UNKNOWN_UNTIL_UPDATE
    if any(isinstance(value, dict) and SIGNATURE in value for value in (connections, observations)):
        return "its connections are encrypted; run: pulumi stack export --show-secrets"
    if not isinstance(connections, str) or not isinstance(observations, str):
        return _FOREIGN
    try:
        return Inventory.from_documents(connections, observations, project if isinstance(project, str) else "")
    except AnswerError as error:
        return str(error)


def _chosen(kind: SourceKind, name: str, inventory: Inventory, filters: Filters, errors: Iterable[str] = ()) -> Part:
    """What of a source is judged."""
    return _complete(kind, name, filters.of(inventory), [*errors, *filters.unclear(inventory)])


def _complete(kind: SourceKind, name: str, inventory: Inventory, errors: Iterable[str]) -> Part:
    """A part, and what of it could not be read."""
    texts = [one_line(text, 600) for text in errors]
    if texts:
        is_project = kind is SourceKind.PROJECT
        reasons = texts if is_project else [f"{name}: {text}" for text in texts]
        lost = Inventory(project=name if is_project else "", unread=reasons)
        inventory = Inventory.merge([inventory, lost])
    return Part(Source(kind, one_line(name), len(inventory), "; ".join(texts) or None), inventory)


def _failed(kind: SourceKind, name: str, error: object) -> Part:
    return _complete(kind, name, Inventory(), [str(error)])


def kept(inventory: Inventory) -> Iterator[tuple[str, bytes]]:
    """What ``--save`` keeps: for each project a file's name and its content, without credentials."""
    for project, part in inventory.by_project():
        yield f"{_file_name(project)}.json", part.saved(project)


def _file_name(project: str) -> str:
    """A name that no other project has, even where a file system doesn't tell upper from lower case."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in project)[:80]
    if plain == project.lower() and re.match(_OWN_NAME, plain):
        return plain
    start = "" if re.match(r"[A-Za-z0-9_]", plain) else "project"
    return f"{start}{plain}-{hashlib.sha256(project.encode()).hexdigest()[:8]}"


_OWN_NAME: Final = re.compile(r"(?!(?:con|prn|aux|nul|(?:com|lpt)[0-9])$|.*-[0-9a-f]{8}$)[a-z0-9_]")
"""What begins no option, is none of the names that Windows keeps for devices, and none that is made up here."""
