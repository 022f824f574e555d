"""The dynamic provider behind the data sources.

The engine finds this class again by its path, which therefore never moves: states hold a pickle that names it.

What a data source reads, it reads in `ConnectionsProvider.check`: the engine runs it in previews and updates alike,
shows what it returns to policy packs, and hands it back as outputs, so that results are known during a preview.
"""

from __future__ import annotations

import sys
import threading
import traceback
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)
from pulumi.output import contains_unknowns
from pulumi.runtime.rpc import UNKNOWN

from pulumi_ampersand.engine import end_with_the_engine
from pulumi_ampersand.errors import AmpersandError, AuthenticationError, NotFoundError
from pulumi_ampersand.settings import Lookup, Settings
from pulumi_ampersand.terminal import one_line

if TYPE_CHECKING:
    from pulumi_ampersand.inventory import Inventory
    from pulumi_ampersand.model import Connection, Observation
    from pulumi_ampersand.reads import Reads

ASKED: Final = ("project", "connectionId", "provider", "groupRef", "consumerRef", "details", "refresh", "settings")
"""What a data source is asked for, in the API's spelling."""

OUTPUTS: Final = (*ASKED, "connections")
"""What programs see and what counts as a change. ``observations`` isn't among them.

A refresh is told outputs only, so that all it needs to read again is among them.
"""


class ConnectionsProvider(ResourceProvider):
    """Reads the connections of a project; creates, changes and deletes nothing.

    One instance serves all resources of a run, from several threads. Its state holds the filters and the two documents
    of `pulumi_ampersand.inventory`; the API key comes from the configuration of each run and is never a property.
    """

    serialize_as_secret_always = False

    keep_answers = True
    """Whether the resources of a run share what was read; see `pulumi_ampersand.reads.Reads`."""

    def configure(self, req: ConfigureRequest) -> None:
        """Take the stack's configuration. Neither fails nor connects: deleting must work without key and network."""
        self._config: Lookup = req.config
        self._reads: dict[Settings, Reads] = {}
        self._lock = threading.Lock()
        _say_expected_errors_plainly()
        _end_with_the_engine()

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Read the connections, unless what to read isn't known yet, and compare them with what is expected.

        ``expect``, ``single`` and ``after`` are for this call alone: neither the state nor packs see them.
        """
        asked = {name: news[name] for name in ASKED if news.get(name) is not None}
        if contains_unknowns(asked):
            # A filter left out would read every connection of the project, so nothing is asked for nor known.
            return CheckResult({**asked, "connections": UNKNOWN, "observations": UNKNOWN}, [])
        try:
            inventory, project = self._read(asked, _olds, news.get("after") or ())
            missed = _missed(inventory, news)
            if missed:
                return CheckResult(news, [CheckFailure("", one_line(text)) for text in missed])
            return CheckResult(_inputs(asked, project, inventory), [])
        except AmpersandError as error:
            # With a property's name the engine would print that property's value, a whole document.
            return CheckResult(news, [CheckFailure("", str(error))])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Whether the connections or the filters changed. How they were found is no change."""
        return DiffResult(changes=any(_olds.get(name) != _news.get(name) for name in OUTPUTS))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Keep what was read. The ID is random because filters may be secret and IDs aren't."""
        return CreateResult(str(uuid.uuid4()), _outputs(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Keep what was read."""
        return UpdateResult(_outputs(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Read the connections again, for a refresh.

        Raises:
            AmpersandError: They could not be read; the state stays as it is.
        """
        asked = {name: props[name] for name in ASKED if props.get(name) is not None}
        try:
            inventory, project = self._read(asked, props)
        except AuthenticationError as error:
            raise AmpersandError(
                f"{error}. A refresh uses the configuration that the state holds: "
                "if the state holds an older key, run pulumi up, or refresh with --run-program"
            ) from None
        except NotFoundError as error:
            inventory, project = self._without_vanished(asked, error)
        inputs = _inputs(asked, project, inventory)
        return ReadResult(id_, _outputs(inputs), inputs)

    def _read(
        self, asked: dict[str, Any], before: Mapping[str, Any], after: Iterable[str] = ()
    ) -> tuple[Inventory, str]:
        """The connections, and the project that they were read from."""
        from pulumi_ampersand.details import keeping  # noqa: PLC0415 - deleting needs neither decoder nor client
        from pulumi_ampersand.inventory import Inventory  # noqa: PLC0415 - likewise
        from pulumi_ampersand.model import DETAILS_GAP  # noqa: PLC0415 - likewise
        from pulumi_ampersand.query import Query  # noqa: PLC0415 - likewise

        query, reads = Query.of_properties(asked), self._reads_with(asked)
        found = reads.after(after).connections(query)
        if any(DETAILS_GAP in seen.gaps for _, seen in found):
            known = _known(before)
            found = [keeping(pair, *known.get(pair[0].id, (None, None))) for pair in found]
        project = reads.project(query)
        return Inventory(found, project), project

    def _without_vanished(self, asked: dict[str, Any], error: NotFoundError) -> tuple[Inventory, str]:
        """Nothing, where a connection that was asked for by its ID is gone from its project.

        Raises:
            AmpersandError: It isn't the connection that is gone; the state stays as it is.
        """
        from pulumi_ampersand.inventory import Inventory  # noqa: PLC0415 - see above
        from pulumi_ampersand.query import Query  # noqa: PLC0415 - see above

        query, reads = Query.of_properties(asked), self._reads_with(asked)
        project = reads.project(query)
        # A project that isn't there is answered with 404, too; then so is its list.
        if query.connection_id is None or reads.lists(project, query.connection_id):
            raise error
        return Inventory((), project), project

    def _reads_with(self, asked: dict[str, Any]) -> Reads:
        from pulumi_ampersand.reads import Reads  # noqa: PLC0415 - see above

        settings = Settings.from_document(asked.get("settings", {}))
        with self._lock:
            if settings not in self._reads:
                self._reads[settings] = Reads(settings, self._config, keep=self.keep_answers)
            return self._reads[settings]


def _missed(inventory: Inventory, news: Mapping[str, Any]) -> list[str]:
    """What isn't as the program expects."""
    expected = news.get("expect")
    if expected is None and not news.get("single"):
        return []
    from pulumi_ampersand.expectation import misses, not_one  # noqa: PLC0415 - see above

    found = [(entry.connection, entry.observation) for entry in inventory]
    missed = misses(found, {} if expected is None else expected)
    if news.get("single") and (several := not_one([connection for connection, _ in found])):
        missed = [f"{several}; change project, connection_id, provider, group_ref or consumer_ref"]
    return missed


def _known(before: Mapping[str, Any]) -> dict[str, tuple[Connection, Observation]]:
    """What a state says of each connection, as far as it can be read."""
    from pulumi_ampersand.inventory import Inventory  # noqa: PLC0415 - see above

    connections, observations = before.get("connections"), before.get("observations")
    try:
        return {
            entry.connection.id: (entry.connection, entry.observation)
            for entry in Inventory.from_documents(connections or "", observations)
        }
    except (AmpersandError, TypeError):
        # An unknown, or a document of another version: nothing is known before.
        return {}


def _inputs(asked: Mapping[str, Any], project: str, inventory: Inventory) -> dict[str, Any]:
    connections, observations = inventory.documents()
    return {**asked, "project": project, "connections": connections, "observations": observations}


def _outputs(props: dict[str, Any]) -> dict[str, Any]:
    return {name: props[name] for name in OUTPUTS if name in props}


def _say_expected_errors_plainly() -> None:
    """Have a failed refresh say what is wrong, not where in this file it was noticed.

    A `ResourceProvider` can only raise, and the SDK (since 3.260) then answers the engine with the whole traceback.
    Its own reference to the module that formats it is the one place where an expected error can be told from a defect.
    """
    sdk = sys.modules["__main__"]
    if getattr(sdk, "traceback", None) is traceback:
        sdk.traceback = _PlainTraceback()  # type: ignore[attr-defined]


def _end_with_the_engine() -> None:
    """Have the SDK's server end when the engine is gone without a word; it would stay for good."""
    server = getattr(sys.modules["__main__"], "__spec__", None)
    if server is not None and server.name == "pulumi.dynamic.__main__":
        end_with_the_engine()


class _PlainTraceback:
    """Stands for the module ``traceback`` in the SDK's server; whatever else is asked of it, the module answers."""

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)

    def format_exc(self, *args: Any, **kwargs: Any) -> str:
        """What the module says, unless the error is an expected one, whose sentence is enough."""
        error = sys.exc_info()[1]
        return str(error) if isinstance(error, AmpersandError) else traceback.format_exc(*args, **kwargs)
