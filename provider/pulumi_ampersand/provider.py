"""The dynamic provider behind the data sources.

The engine finds this class again by its path, which therefore never moves: states hold a pickle that names it.

What a data source reads, it reads in `ConnectionsProvider.check`: the engine runs it in previews and updates alike,
shows what it returns to policy packs, and hands it back as outputs, so that results are known during a preview.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
import uuid
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

from pulumi_ampersand.errors import AmpersandError, AuthenticationError, SettingsError
from pulumi_ampersand.settings import Lookup, Settings

if TYPE_CHECKING:
    from pulumi_ampersand.client import Client
    from pulumi_ampersand.inventory import Inventory

FILTERS: Final = ("project", "provider", "groupRef", "consumerRef")
"""What a data source can be asked for, in the API's spelling."""

OUTPUTS: Final = (*FILTERS, "connections")
"""What programs see and what counts as a change. ``observations`` isn't among them."""


class ConnectionsProvider(ResourceProvider):
    """Reads the connections of a project; creates, changes and deletes nothing.

    One instance serves all resources of a run, from several threads. Its state holds the filters and the two documents
    of `pulumi_ampersand.inventory`; the API key comes from the configuration of each run and is never a property.
    """

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Take the stack's configuration. Neither fails nor connects: deleting must work without key and network."""
        self._config: Lookup = req.config
        self._client: Client | None = None
        self._lock = threading.Lock()
        _say_expected_errors_plainly()

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Read the connections, unless a filter isn't known yet."""
        asked = {name: news[name] for name in FILTERS if news.get(name) is not None}
        if contains_unknowns(asked):
            # A filter left out would read every connection of the project, so nothing is asked for nor known.
            return CheckResult({**asked, "connections": UNKNOWN, "observations": UNKNOWN}, [])
        try:
            return CheckResult(self._inputs(asked), [])
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
        try:
            inputs = self._inputs({name: props[name] for name in FILTERS if props.get(name) is not None})
        except AuthenticationError as error:
            raise AmpersandError(
                f"{error}. A refresh uses the configuration that the state holds: "
                "if the state holds an older key, run pulumi up, or refresh with --run-program"
            ) from None
        return ReadResult(id_, _outputs(inputs), inputs)

    def _inputs(self, asked: dict[str, Any]) -> dict[str, Any]:
        for name, value in asked.items():
            if not isinstance(value, str):
                raise SettingsError(f'{_argument(name)} must be text, for example {_argument(name)}="…"')
            if not value:
                raise SettingsError(f"{_argument(name)} is empty; leave it out to filter by nothing")
        project = asked.get("project") or Settings().project(self._config, os.environ)
        connections, observations = self._inventory(project, asked).documents()
        return {**asked, "project": project, "connections": connections, "observations": observations}

    def _inventory(self, project: str, asked: dict[str, str]) -> Inventory:
        from pulumi_ampersand.inventory import Inventory  # noqa: PLC0415 - deleting needs neither decoder nor client

        pairs = self._connected().list_connections(
            project,
            provider=asked.get("provider"),
            group_ref=asked.get("groupRef"),
            consumer_ref=asked.get("consumerRef"),
        )
        return Inventory(pairs, project)

    def _connected(self) -> Client:
        from pulumi_ampersand.client import Client  # noqa: PLC0415 - likewise

        with self._lock:
            if self._client is None:
                self._client = Client(Settings().resolve(self._config, os.environ))
            return self._client


def _outputs(props: dict[str, Any]) -> dict[str, Any]:
    return {name: props[name] for name in OUTPUTS if name in props}


def _argument(name: str) -> str:
    return {"groupRef": "group_ref", "consumerRef": "consumer_ref"}.get(name, name)


def _say_expected_errors_plainly() -> None:
    """Have a failed refresh say what is wrong, not where in this file it was noticed.

    A `ResourceProvider` can only raise, and the SDK (since 3.260) then answers the engine with the whole traceback.
    Its own reference to the module that formats it is the one place where an expected error can be told from a defect.
    """
    sdk = sys.modules["__main__"]
    if getattr(sdk, "traceback", None) is traceback:
        sdk.traceback = _PlainTraceback()  # type: ignore[attr-defined]


class _PlainTraceback:
    """Stands for the module ``traceback`` in the SDK's server; whatever else is asked of it, the module answers."""

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)

    def format_exc(self, *args: Any, **kwargs: Any) -> str:
        """What the module says, unless the error is an expected one, whose sentence is enough."""
        error = sys.exc_info()[1]
        return str(error) if isinstance(error, AmpersandError) else traceback.format_exc(*args, **kwargs)
