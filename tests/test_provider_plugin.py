"""The dynamic provider as the engine runs it: a process that unpickles the provider from each resource's state."""

from __future__ import annotations

import base64
import json
import pickle
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from time import sleep
from types import SimpleNamespace
from typing import Any

import dill  # type: ignore[import-untyped]
import pytest
from pulumi.dynamic.dynamic import serialize_provider

from builders import two_projects
from plugin import UNKNOWN, secret
from provider_process import RECORDED, Provider
from pulumi_ampersand.answers import read_connections
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.provider import ConnectionsProvider
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand_policies.testing import connection as sent

HOSTILE = "x\n\x1b[31m\u202e<{%fg 1%}>"


def outputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs that belong to inputs."""
    return {name: value for name, value in inputs.items() if name != "observations"}


def listed_ids(inputs: Mapping[str, Any]) -> list[str]:
    """The IDs of the connections in a document."""
    return [connection["id"] for connection in json.loads(inputs["connections"])["connections"]]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Sandbox]:
    """Two projects with connections of their own."""
    with Sandbox("healthy", projects=two_projects()) as running:
        yield running


@pytest.fixture(scope="module")
def shared_provider(shared_server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """One process for all tests whose settings are in the stack's configuration; in the end it must have kept quiet."""
    provider = Provider(tmp_path_factory.mktemp("program"))
    provider.configure(
        {
            "ampersand:apiKey": secret(shared_server.api_key),
            "ampersand:apiUrl": shared_server.url,
            "ampersand:project": "first",
            "ampersand:gate": '{"provider":"salesforce"}',
        }
    )
    yield provider
    assert provider.plugin.stop() == ""


@pytest.fixture
def server(shared_server: Sandbox) -> Sandbox:
    """The API as it was at first."""
    shared_server.reset()
    return shared_server


@pytest.fixture
def provider(shared_provider: Provider, server: Sandbox) -> Iterator[Provider]:
    """A running provider; what it answers must hold no credential."""
    shared_provider.answers.clear()
    shared_provider.begin()
    yield shared_provider
    told = repr(shared_provider.answers)
    assert not [credential for credential in server.secrets if credential in told]


StartProvider = Callable[..., Provider]


@pytest.fixture
def start_provider(tmp_path: Path) -> Iterator[StartProvider]:
    """Starts providers with settings of their own; in the end each must have kept quiet."""
    running: list[Provider] = []

    def start(**environment: str) -> Provider:
        running.append(Provider(tmp_path, **environment))
        return running[-1]

    yield start
    assert [provider.plugin.stop() for provider in running] == [""] * len(running)


class TestCheck:
    """Checking inputs, which reads the connections."""

    @pytest.mark.parametrize(
        ("filters", "found", "query"),
        [
            pytest.param({}, ["a", "b", "c"], {}, id="none"),
            pytest.param({"provider": "hubspot"}, ["a"], {"provider": "hubspot"}, id="provider"),
            pytest.param({"groupRef": "globex"}, ["b"], {"groupRef": "globex"}, id="group"),
            pytest.param({"consumerRef": "jim"}, ["c"], {"consumerRef": "jim"}, id="consumer"),
            pytest.param(
                {"provider": "x y&z", "groupRef": "é", "consumerRef": "#"},
                [],
                {"provider": "x y&z", "groupRef": "é", "consumerRef": "#"},
                id="all",
            ),
            pytest.param({"project": "second"}, ["d"], {}, id="project"),
            pytest.param({"project": None, "provider": None}, ["a", "b", "c"], {}, id="null"),
        ],
    )
    def test_it_reads_what_is_asked_for(
        self, provider: Provider, server: Sandbox, filters: dict[str, Any], found: list[str], query: dict[str, str]
    ) -> None:
        """Filters travel to the API; inputs hold them, the project and both documents."""
        inputs = provider.check({**filters, "connections": None})
        assert listed_ids(inputs) == found
        assert [request.query for request in server.requests] == [query]
        given = {name: value for name, value in filters.items() if value is not None}
        assert outputs(inputs) == {"project": "first", **given, "connections": inputs["connections"]}

    def test_documents_are_those_of_the_inventory(self, provider: Provider, server: Sandbox) -> None:
        """What the process returns is what the library makes of the same answer; lists leave refresh tokens open."""
        inputs = provider.check({})
        answer = json.dumps(server.connections).encode()
        assert (inputs["connections"], inputs["observations"]) == Inventory(read_connections(answer)).documents()

    @pytest.mark.parametrize("unknown", [UNKNOWN, [UNKNOWN], {"a": UNKNOWN}, {"a": ["b", {"c": UNKNOWN}]}])
    @pytest.mark.parametrize("name", ["project", "provider", "groupRef", "consumerRef"])
    def test_an_unknown_filter_reads_nothing(
        self, provider: Provider, server: Sandbox, name: str, unknown: Any
    ) -> None:
        """Left out, it would read every connection of the project; so both documents are unknown instead."""
        other = "provider" if name != "provider" else "groupRef"
        inputs = provider.check({name: unknown, other: "x"}, {"connections": "old", "observations": "old"})
        assert (inputs["connections"], inputs["observations"]) == (UNKNOWN, UNKNOWN)
        assert UNKNOWN in json.dumps(inputs[name])
        assert inputs[other] == "x"
        assert not server.requests

    @pytest.mark.parametrize(
        ("filters", "reason"),
        [
            ({"provider": 5}, 'provider must be text, for example provider="…"'),
            ({"groupRef": True}, 'group_ref must be text, for example group_ref="…"'),
            ({"consumerRef": ["a"]}, 'consumer_ref must be text, for example consumer_ref="…"'),
            ({"project": {"a": 1}}, 'project must be text, for example project="…"'),
            ({"provider": ""}, "provider is empty; leave it out to filter by nothing"),
            ({"groupRef": ""}, "group_ref is empty; leave it out to filter by nothing"),
            ({"consumerRef": ""}, "consumer_ref is empty; leave it out to filter by nothing"),
            ({"project": ""}, "project is empty; leave it out to filter by nothing"),
        ],
        ids=json.dumps,
    )
    def test_a_filter_that_is_none_is_refused(
        self, provider: Provider, server: Sandbox, filters: dict[str, Any], reason: str
    ) -> None:
        """A filter that could filter nothing is refused under the name that programs use; nothing is read."""
        assert provider.failure(filters) == reason
        assert not server.requests

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            pytest.param("401", "401", id="401"),
            pytest.param("403", "403", id="403"),
            pytest.param("500,retryable=false", "500", id="500"),
            pytest.param("invalid-json", "expected a JSON array of connections", id="half-json"),
            pytest.param("not-a-list", "expected a JSON array of connections, got an object", id="no-list"),
            pytest.param("redirect", "set ampersand:apiUrl to the API itself", id="redirect"),
            pytest.param("key-echo", "[API key]", id="key-echo"),
        ],
    )
    def test_what_the_api_refuses_is_a_failure(
        self, provider: Provider, server: Sandbox, fault: str, words: str
    ) -> None:
        """What goes wrong is one line that says what, where and how to mend it."""
        server.faults = [fault]
        reason = provider.failure({})
        assert reason.startswith(f'reading connections of project "first" at {server.url}: ')
        assert words in reason

    def test_a_wrong_project_is_a_failure(self, provider: Provider) -> None:
        """A project that the API doesn't know is named, on one harmless line."""
        assert "404" in provider.failure({"project": f"gone{HOSTILE}"})

    def test_a_failure_is_that_of_one_read(self, provider: Provider, server: Sandbox) -> None:
        """Who asks for the same is told the same, without another request; other reads and other runs aren't hurt."""
        server.faults = ["401:1"]
        assert provider.failure({}) == provider.failure({})
        assert len(server.requests) == 1
        assert listed_ids(provider.check({"provider": "hubspot"})) == ["a"]
        provider.begin()
        assert listed_ids(provider.check({})) == ["a", "b", "c"]

    def test_no_connections_are_a_result(self, provider: Provider) -> None:
        """Filters that nothing matches give empty documents, no failure."""
        inputs = provider.check({"provider": "gong"})
        assert json.loads(inputs["connections"]) == {"v": 1, "connections": []}
        assert json.loads(inputs["observations"]) == {"v": 1, "observations": []}

    def test_four_at_once(self, provider: Provider, server: Sandbox) -> None:
        """The engine checks several resources at the same time; they don't wait for or disturb each other."""
        server.faults = ["slow:0.2"]
        asked: list[tuple[dict[str, str], list[str]]] = [
            ({"provider": "hubspot"}, ["a"]),
            ({"provider": "salesforce"}, ["b", "c"]),
            ({"groupRef": "globex"}, ["b"]),
            ({"groupRef": "acme"}, ["a", "c"]),
            ({"consumerRef": "jim"}, ["c"]),
            ({"provider": "salesforce", "consumerRef": "jim"}, ["c"]),
            ({"project": "second"}, ["d"]),
            ({"project": "second", "provider": "hubspot"}, []),
        ]
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda each: listed_ids(provider.check(each[0])), asked))
        assert found == [ids for _, ids in asked]
        assert server.counts == {"list": 8}
        assert 1 < server.most_at_once <= 4

    def test_the_same_at_once_is_asked_for_once(self, provider: Provider, server: Sandbox) -> None:
        """Resources that need the same share one request, while it is on its way, too."""
        server.faults = ["slow:0.2"]
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda _: listed_ids(provider.check({"provider": "salesforce"})), range(8)))
        assert found == [["b", "c"]] * 8
        assert server.counts == {"list": 1}


class TestDiff:
    """What counts as a change."""

    def test_the_same_is_no_change(self, provider: Provider) -> None:
        """Reading the same again changes nothing."""
        inputs = provider.check({"provider": "hubspot"})
        assert not provider.changes(outputs(inputs), provider.check({"provider": "hubspot"}, inputs))

    def test_how_connections_were_found_is_no_change(self, provider: Provider, server: Sandbox) -> None:
        """A token refresh, or created after working, is seen by packs and changes no resource."""
        before = provider.check({})
        server.update("a", status="created", updateTime="@now+1h")
        provider.begin()
        after = provider.check({})
        assert before["observations"] != after["observations"]
        assert not provider.changes(outputs(before), after)

    @pytest.mark.parametrize(
        "change",
        [
            {"status": "bad_credentials"},
            {"group": {"groupRef": "acme", "groupName": "Acme Inc"}},
            {"providerWorkspaceRef": "other"},
        ],
        ids=json.dumps,
    )
    def test_what_a_connection_is_is_a_change(
        self, provider: Provider, server: Sandbox, change: dict[str, Any]
    ) -> None:
        """Health, customer and workspace belong to what a connection is."""
        before = provider.check({})
        server.update("a", **change)
        provider.begin()
        assert provider.changes(outputs(before), provider.check({}))

    def test_a_new_connection_is_a_change(self, provider: Provider, server: Sandbox) -> None:
        """So is one that appears or goes."""
        before = provider.check({})
        server.connections = [*server.connections, sent("e")]
        provider.begin()
        after = provider.check({})
        assert provider.changes(outputs(before), after)
        assert provider.changes(outputs(after), before)

    @pytest.mark.parametrize("name", ["project", "provider", "groupRef", "consumerRef"])
    def test_a_filter_is_a_change(self, provider: Provider, name: str) -> None:
        """A filter that is changed, added or removed is a change, even where it finds the same."""
        same = {"project": "first", "connections": "same"}
        assert provider.changes({**same, name: "x"}, {**same, name: "y"})
        assert provider.changes({**same, name: None}, {**same, name: "y"})
        assert provider.changes({**same, name: "x"}, {**same, name: None})

    def test_unknown_documents_are_a_change(self, provider: Provider) -> None:
        """What isn't known yet may change."""
        before = provider.check({"provider": "hubspot"})
        unknown = provider.check({"provider": UNKNOWN}, before)
        assert provider.changes(outputs(before), unknown)
        assert provider.changes(outputs(before), {**before, "connections": UNKNOWN})


class TestLifetime:
    """Creating, changing, refreshing and deleting, which create, change and delete nothing at Ampersand's."""

    def test_outputs_leave_out_how_connections_were_found(self, provider: Provider, server: Sandbox) -> None:
        """Outputs hold only what ``diff`` looks at, or programs would see what is stale."""
        inputs = provider.check({"provider": "hubspot"})
        server.clear_requests()
        name, created = provider.create(inputs)
        assert uuid.UUID(name).version == 4
        assert created == outputs(inputs)
        assert provider.update(created, {**inputs, "connections": "new"}) == {**created, "connections": "new"}
        assert not server.requests

    def test_ids_say_nothing_of_secret_filters(self, provider: Provider) -> None:
        """IDs are random: two of the same resource differ."""
        inputs = provider.check({"provider": "hubspot"})
        assert provider.create(inputs)[0] != provider.create(inputs)[0]

    @pytest.mark.parametrize(
        ("filters", "query"),
        [({}, {}), ({"provider": "hubspot", "groupRef": "acme"}, {"provider": "hubspot", "groupRef": "acme"})],
    )
    def test_a_refresh_reads_again(
        self, provider: Provider, server: Sandbox, filters: dict[str, Any], query: dict[str, str]
    ) -> None:
        """A refresh asks with the filters in the state; inputs get both documents, outputs the one."""
        before = provider.check(filters)
        server.update("a", status="bad_credentials")
        server.clear_requests()
        provider.begin()
        after, inputs = provider.read(outputs(before))
        assert server.requests[0].query == query
        assert inputs["connections"] != before["connections"]
        assert json.loads(inputs["observations"])["observations"][0]["status"] == "bad_credentials"
        assert after == outputs(inputs)
        assert inputs == provider.check(filters)

    def test_a_refresh_with_an_old_key(self, provider: Provider, server: Sandbox) -> None:
        """A refresh uses the configuration of the state: after a rotation it says so, and how to go on."""
        before = outputs(provider.check({}))
        server.api_key = "another-key"
        provider.begin()
        error = provider.read_error(before)
        assert "401 The API key is not valid" in error
        assert "if the state holds an older key, run pulumi up, or refresh with --run-program" in error

    @pytest.mark.parametrize(
        ("fault", "words"),
        [("500,retryable=false", "500"), ("invalid-json", "expected a JSON array"), ("403", "403")],
    )
    def test_a_refresh_that_fails(self, provider: Provider, server: Sandbox, fault: str, words: str) -> None:
        """An outage fails the refresh with its own sentence, and the state stays as it is."""
        before = outputs(provider.check({}))
        server.faults = [fault]
        provider.begin()
        error = provider.read_error(before)
        assert words in error
        assert "older key" not in error

    def test_a_refresh_of_a_state_that_was_edited(self, provider: Provider) -> None:
        """A filter in the state that is no text is refused by its name."""
        assert "provider must be text" in provider.read_error({"project": "first", "provider": 5})

    def test_deleting_needs_nothing(self, start_provider: StartProvider) -> None:
        """A stack can be destroyed without configuration, key, project and network."""
        start_provider().delete({"project": "first", "connections": "anything"})


class TestSettings:
    """Where key, root and project come from."""

    def test_the_environment(self, server: Sandbox, start_provider: StartProvider) -> None:
        """What the stack's configuration doesn't say comes from the environment."""
        provider = start_provider(**server.environment)
        provider.configure({"ampersand:project": "second"})
        assert listed_ids(provider.check({})) == ["d"]
        assert provider.check({})["project"] == "second"

    def test_what_is_missing_is_a_failure(self, server: Sandbox, start_provider: StartProvider) -> None:
        """Without project or key the failure has the command that sets it."""
        provider = start_provider()
        provider.configure({})
        assert provider.failure({"project": "first"}) == (
            "no API key; run: pulumi config set --secret ampersand:apiKey <key> (or set AMP_API_KEY)"
        )
        assert "no API key" in provider.read_error({"project": "first"})
        provider.configure({"ampersand:apiKey": secret(server.api_key), "ampersand:apiUrl": server.url})
        provider.begin()
        assert provider.failure({}).startswith("no project; run: pulumi config set ampersand:project <id or name>")
        assert not server.requests

    def test_configuring_neither_fails_nor_connects(self, start_provider: StartProvider) -> None:
        """Settings that make no sense are told when they are needed, not before."""
        provider = start_provider()
        provider.configure({"ampersand:apiKey": secret("a key"), "ampersand:apiUrl": "nonsense"})
        provider.delete({})
        assert "characters that no HTTP header can carry" in provider.failure({"project": "first"})


class TestState:
    """What a state holds of the provider."""

    def test_a_recorded_provider_is_still_found(self) -> None:
        """Destroying an old stack needs the class under its recorded path, as it was."""
        recorded = dill.loads(base64.b64decode(RECORDED))
        assert type(recorded) is ConnectionsProvider
        assert vars(recorded) == {}

    def test_todays_provider_is_the_recorded_one(self) -> None:
        """Serialised alike, an upgrade changes no resource; a Python with another pickle format comes close."""
        today = serialize_provider(ConnectionsProvider())
        assert today == RECORDED or (pickle.DEFAULT_PROTOCOL != 4 and len(today) < 100)
        assert type(dill.loads(base64.b64decode(today))) is ConnectionsProvider

    def test_it_is_no_secret(self) -> None:
        """Nothing secret is in it, and secret it would hide the resource's other changes."""
        assert ConnectionsProvider.serialize_as_secret_always is False

    def test_threads_share_one_client(self) -> None:
        """The first requests of several threads make one client for each settings, not one each."""
        provider = ConnectionsProvider()
        barrier = Barrier(4)

        class Slow(dict[str, str]):
            def get(self, key: str, _default: Any = None) -> Any:
                """Let the other threads come along meanwhile."""
                sleep(0.01)
                return super().get(key)

        request: Any = SimpleNamespace(config=Slow({"ampersand:apiKey": "key"}))
        provider.configure(request)

        def connect(number: int) -> Any:
            barrier.wait(10)
            return provider._reads_with({"settings": {"concurrency": 8.0 if number % 2 else 4.0}})

        with ThreadPoolExecutor(4) as threads:
            one, other, *again = threads.map(connect, range(4))
        assert again == [one, other]
        assert one is not other
        for reads in (one, other):
            reads._client.close()
