"""The provider plugin as the engine runs it: a process that answers for programs in every language."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import jsonschema
import pytest
from google.protobuf import empty_pb2, json_format
from pulumi.runtime import proto
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc

import package_schema
import reference
from builders import two_projects
from plugin import UNKNOWN, Plugin, secret, struct
from provider_process import Provider
from pulumi_ampersand import Client, Expect, Settings, __version__, get_connection, get_connections, get_projects
from pulumi_ampersand import plugin as product
from pulumi_ampersand.functions import read_connections
from pulumi_ampersand.plugin import FUNCTIONS, RESOURCE
from pulumi_ampersand.query import PROPERTIES, Query
from pulumi_ampersand.reads import Reads
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand.settings import CONFIG_KEYS
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.testing import connection as sent

URN = f"urn:pulumi:dev::test::{RESOURCE}::all"
PROVIDER = "urn:pulumi:dev::test::pulumi:providers:ampersand::"
MODULE = "pulumi_ampersand.plugin"
EXPECTED = tuple(part.name for part in dataclasses.fields(Expect))
HOSTILE = "x\n\x1b[31m\u202e<{%fg 1%}>"
HANGING = "slow:60"
"""Longer than any test waits."""

_PATIENCE = 30
"""Seconds after which a call that isn't answered fails its test; far less than what hangs."""


class Engine(engine_pb2_grpc.EngineServicer):
    """The engine's end, which plugins tell warnings.

    Attributes:
        address: Where it listens.
        logged: What it was told: severity and words.
    """

    def __init__(self) -> None:
        self.logged: list[tuple[int, str]] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        engine_pb2_grpc.add_EngineServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Log(self, request: Any, _context: Any) -> empty_pb2.Empty:  # noqa: N802 - the protocol's name
        """Take a message."""
        self.logged.append((request.severity, request.message))
        return empty_pb2.Empty()

    def stop(self) -> None:
        """Hang up."""
        self._server.stop(0).wait()


class Native:
    """The plugin's process, talked to as the engine does.

    Args:
        folder: Its working directory.
        engine: The engine's address.
        environment: Its environment, besides what the engine adds.
    """

    def __init__(self, folder: Path, engine: str = "127.0.0.1:1", **environment: str) -> None:
        self.plugin = Plugin(MODULE, folder=folder, **({"PULUMI_PROJECT": "test"} | environment))
        self.engine = provider_pb2_grpc.ResourceProviderStub(self.plugin.channel)
        agreed = self.engine.Handshake(proto.ProviderHandshakeRequest(engine_address=engine, invoke_with_preview=True))
        assert not agreed.accept_secrets, "or filters would arrive wrapped"
        self.answers: list[Any] = []

    def configure(self, settings: Mapping[str, Any], name: str = "eu") -> None:
        """Tell it a provider's settings."""
        answer = self.engine.Configure(
            proto.ConfigureRequest(args=struct(dict(settings)), acceptSecrets=True, urn=PROVIDER + name)
        )
        assert answer.supportsPreview
        assert not answer.acceptSecrets

    def invoke(self, name: str, arguments: dict[str, Any] | None = None, *, preview: bool = False) -> dict[str, Any]:
        """What a function gives."""
        request = proto.InvokeRequest(tok=f"ampersand:index:{name}", args=struct(arguments or {}), preview=preview)
        answer = self.engine.Invoke(request, timeout=_PATIENCE)
        self.answers.append(answer)
        assert not answer.failures
        result: dict[str, Any] = json_format.MessageToDict(answer).get("return", {})
        return result

    def check(self, news: dict[str, Any], olds: dict[str, Any] | None = None) -> dict[str, Any]:
        """The inputs that it makes of a program's, where nothing fails."""
        inputs, failures = self.try_check(news, olds)
        assert failures == []
        return inputs

    def failures(self, news: dict[str, Any]) -> list[str]:
        """Why it refuses a program's inputs: lines that the engine prints without any property's value."""
        inputs, failures = self.try_check(news)
        assert inputs == {}
        assert {name for name, _ in failures} <= {""}
        reasons = [reason for _, reason in failures]
        assert reasons == [one_line(reason) for reason in reasons]
        return reasons

    def try_check(
        self, news: dict[str, Any], olds: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Inputs and failures."""
        request = proto.CheckRequest(urn=URN, olds=struct(olds or {}), news=struct(news))
        return self._checked(self.engine.Check(request, timeout=_PATIENCE))

    def check_settings(self, given: dict[str, Any], name: str = "eu") -> tuple[dict[str, Any], list[str]]:
        """What it makes of a provider's settings, and what it refuses."""
        inputs, failures = self._checked(
            self.engine.CheckConfig(proto.CheckRequest(urn=PROVIDER + name, news=struct(given)))
        )
        assert {name for name, _ in failures} <= {""}
        return inputs, [reason for _, reason in failures]

    def changes(self, olds: dict[str, Any], news: dict[str, Any]) -> bool:
        """Whether new inputs differ from old outputs."""
        answer = self.engine.Diff(proto.DiffRequest(id="id", urn=URN, olds=struct(olds), news=struct(news)))
        assert not answer.replaces
        return {proto.DiffResponse.DIFF_SOME: True, proto.DiffResponse.DIFF_NONE: False}[answer.changes]

    def create(self, properties: dict[str, Any], *, preview: bool = False) -> tuple[str, dict[str, Any]]:
        """The ID and outputs of a new resource."""
        request = proto.CreateRequest(urn=URN, properties=struct(properties), preview=preview)
        answer = self.engine.Create(request)
        return answer.id, self._properties(answer.properties)

    def update(self, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """The outputs of a changed resource."""
        answer = self.engine.Update(proto.UpdateRequest(id="id", urn=URN, olds=struct(olds), news=struct(news)))
        return self._properties(answer.properties)

    def read(self, properties: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a refresh makes of outputs: outputs and inputs."""
        request = proto.ReadRequest(id="id", urn=URN, properties=struct(properties))
        answer = self.engine.Read(request, timeout=_PATIENCE)
        assert answer.id == "id"
        return self._properties(answer.properties), self._properties(answer.inputs)

    def delete(self) -> None:
        """Forget a resource."""
        self.engine.Delete(proto.DeleteRequest(id="id", urn=URN))

    def _checked(self, answer: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        failures = [(item.property, item.reason) for item in answer.failures]
        return self._properties(answer.inputs), failures

    def _properties(self, message: Any) -> dict[str, Any]:
        self.answers.append(message)
        properties: dict[str, Any] = json_format.MessageToDict(message)
        return properties


def sentence(call: Callable[[], object]) -> str:
    """The sentence with which a call fails: one line, and no crash."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    said: str = error.details()
    assert said == one_line(said)
    assert "Exception calling application" not in said
    return said


def without_number(text: str) -> str:
    """A sentence without the number of the request that it is about."""
    return re.sub(r" ?\(request sandbox#\d+\)", "", text)


def outputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs that belong to inputs."""
    return {name: value for name, value in inputs.items() if name != "observations"}


def listed_ids(inputs: Mapping[str, Any]) -> list[str]:
    """The IDs of the connections in a document."""
    return [connection["id"] for connection in json.loads(inputs["connections"])["connections"]]


def requests(server: Sandbox) -> list[tuple[str, Mapping[str, str]]]:
    """What a server was asked."""
    return [(request.path, request.query) for request in server.requests]


def settings_for(server: Sandbox) -> dict[str, Any]:
    """A provider's settings that lead to a server."""
    return {"apiKey": secret(server.api_key), "apiUrl": server.url, "project": "first"}


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Sandbox]:
    """Two projects with connections of their own."""
    with Sandbox("healthy", projects=two_projects()) as running:
        yield running


@pytest.fixture(scope="module")
def engine_end() -> Iterator[Engine]:
    """The engine that is told warnings."""
    running = Engine()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def shared_native(
    shared_server: Sandbox, engine_end: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Native]:
    """One process for all tests whose settings are the same; in the end it must have kept quiet."""
    native = Native(tmp_path_factory.mktemp("program"), engine_end.address)
    native.configure(settings_for(shared_server))
    yield native
    assert native.plugin.stop() == ""


@pytest.fixture(scope="module")
def shared_dynamic(shared_server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """The dynamic provider with the same settings."""
    provider = Provider(tmp_path_factory.mktemp("program"))
    provider.configure({f"ampersand:{name}": value for name, value in settings_for(shared_server).items()})
    yield provider
    assert provider.plugin.stop() == ""


@pytest.fixture
def server(shared_server: Sandbox) -> Sandbox:
    """The API as it was at first."""
    shared_server.reset()
    return shared_server


@pytest.fixture
def native(shared_native: Native, server: Sandbox) -> Iterator[Native]:
    """A running plugin; what it answers must hold no credential."""
    shared_native.answers.clear()
    yield shared_native
    told = repr(shared_native.answers)
    assert not [credential for credential in server.secrets if credential in told]


@pytest.fixture
def dynamic(shared_dynamic: Provider, server: Sandbox) -> Provider:
    """The dynamic provider, which has read nothing yet."""
    assert not server.requests
    shared_dynamic.begin()
    return shared_dynamic


StartNative = Callable[..., Native]


@pytest.fixture
def start_native(tmp_path: Path) -> Iterator[StartNative]:
    """Starts plugins with settings of their own; in the end each must have kept quiet."""
    running: list[Native] = []

    def start(engine: str = "127.0.0.1:1", **environment: str) -> Native:
        running.append(Native(tmp_path, engine, **environment))
        return running[-1]

    yield start
    assert [native.plugin.stop() for native in running] == [""] * len(running)


Arguments = dict[str, Any]

CALLS: list[tuple[str, Arguments]] = [
    ("getConnections", {}),
    ("getConnections", {"provider": "hubspot"}),
    ("getConnections", {"groupRef": "globex"}),
    ("getConnections", {"consumerRef": "jim"}),
    ("getConnections", {"project": "second"}),
    ("getConnections", {"details": "never"}),
    ("getConnections", {"details": "always"}),
    ("getConnections", {"refresh": "ifExpired"}),
    ("getConnections", {"provider": None, "groupRef": None}),
    ("getConnections", {"provider": "nobody"}),
    ("getConnection", {"connectionId": "a"}),
    ("getConnection", {"connectionId": "b", "provider": "salesforce"}),
    ("getConnection", {"groupRef": "globex"}),
    ("getConnection", {"consumerRef": "jim", "details": "never"}),
    ("getConnection", {"project": "second"}),
    ("getConnection", {"connectionId": "a", "refresh": "ifExpired"}),
    ("getProjects", {}),
]
"""Functions and arguments that give something."""

LIKE: Mapping[str, Callable[..., Any]] = {
    "getConnections": lambda **arguments: {"connections": get_connections(**arguments)},
    "getConnection": get_connection,
    "getProjects": lambda: {"projects": get_projects()},
}
"""What of the Python package each function is like."""

NOT_ONE = "change project, connectionId, provider, groupRef or consumerRef"

REFUSED: list[tuple[str, Arguments, str]] = [
    ("getConections", {}, 'there is no function ampersand:index:getConections (did you mean "getConnections"?)'),
    ("getconnection", {}, 'there is no function ampersand:index:getconnection (did you mean "getConnection"?)'),
    ("zzz", {}, "there is no function ampersand:index:zzz"),
    ("getConnections", {"grupRef": "a"}, 'there is no argument "grupRef" (did you mean "groupRef"?)'),
    ("getConnections", {"group_ref": "a"}, 'there is no argument "group_ref" (did you mean "groupRef"?)'),
    ("getConnections", {"connectionId": "a"}, 'there is no argument "connectionId"'),
    ("getProjects", {"project": "first"}, 'there is no argument "project"'),
    ("getAccessToken", {"connectionId": "a", "provider": "b"}, 'there is no argument "provider" (did you mean "pro'),
    ("getConnections", {HOSTILE: "a"}, 'there is no argument "x'),
    ("getConnections", {"groupRef": 5}, "groupRef must be text"),
    ("getConnections", {"consumerRef": True}, "consumerRef must be text"),
    ("getConnections", {"provider": ["a"]}, "provider must be text"),
    ("getConnections", {"project": {"a": "b"}}, "project must be text"),
    ("getConnection", {"connectionId": 5, "groupRef": 5}, "connectionId must be text"),
    ("getConnections", {"groupRef": ""}, "groupRef is empty; leave it out to filter by nothing"),
    ("getConnection", {"connectionId": ""}, "connectionId is empty; leave it out to filter by nothing"),
    ("getAccessToken", {"connectionId": ""}, "connectionId is empty; leave it out to filter by nothing"),
    ("getAccessToken", {}, "connectionId must be text"),
    ("getConnections", {"details": 5}, "details must be auto, always or never"),
    ("getConnections", {"details": "alwyas"}, 'details must be auto, always or never (did you mean "always"?)'),
    ("getConnections", {"refresh": True}, 'refresh must be "ifExpired", or left out'),
    ("getConnections", {"refresh": "force"}, 'refresh must be "ifExpired", or left out'),
    (
        "getConnections",
        {"refresh": "ifExpired", "details": "never"},
        'refresh="ifExpired" refreshes by the calls that details="never" forbids: leave out one',
    ),
    ("getConnections", {"groupRef": UNKNOWN}, "groupRef isn't known yet"),
    ("getConnections", {"groupRef": ["a", {"b": UNKNOWN}]}, "groupRef isn't known yet"),
    ("getConnection", {"connectionId": UNKNOWN}, "connectionId isn't known yet"),
    ("getAccessToken", {"connectionId": UNKNOWN}, "connectionId isn't known yet"),
    ("getConnections", {"details": UNKNOWN}, "details isn't known yet"),
]
"""Calls that are refused before anything is asked, and why."""

DOING: Mapping[str, tuple[Arguments, str]] = {
    "getConnections": ({}, 'reading connections of project "first" at {url}: '),
    "getConnection": ({"connectionId": "a"}, 'reading connection "a" of project "first" at {url}: '),
    "getProjects": ({}, "listing projects at {url}: "),
    "getAccessToken": (
        {"connectionId": "a"},
        'reading the access token of connection "a" of project "first" at {url}: ',
    ),
}
"""What errors say that each function was doing."""

FAULTS: list[tuple[str, str]] = [
    ("401", "401"),
    ("403", "403"),
    ("500,retryable=false", "500"),
    ("503,retryable=false", "503"),
    ("invalid-json", "expected a JSON "),
    ("redirect", "redirect"),
    ("key-echo", "[API key]"),
]
"""What a server does, and a word of what is said of it."""


class TestInvoke:
    """Functions."""

    @pytest.mark.parametrize(("name", "arguments"), CALLS, ids=[f"{name}-{json.dumps(given)}" for name, given in CALLS])
    def test_gives_what_python_functions_give(
        self, native: Native, server: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str, arguments: Arguments
    ) -> None:
        """The same connections and projects, by the same requests."""
        for variable, value in server.environment.items():
            monkeypatch.setenv(variable, value)
        python = {spelling: argument for argument, spelling in PROPERTIES.items()}
        expected = LIKE[name](**{python[argument]: value for argument, value in arguments.items()})
        asked = requests(server)
        server.reset()
        assert native.invoke(name, arguments) == json.loads(json.dumps(expected))
        # Details are asked for at once.
        assert sorted(map(str, requests(server))) == sorted(map(str, asked))
        assert native.invoke(name, arguments, preview=True) == json.loads(json.dumps(expected))

    def test_every_function_and_argument_is_tried(self) -> None:
        """By the table above, but for the access token, which has tests of its own."""
        for name, (_, arguments) in FUNCTIONS.items():
            tried = {argument for called, given in CALLS for argument in given if called == name}
            assert name == "getAccessToken" or set(arguments) == tried
        assert set(LIKE) | {"getAccessToken"} == set(FUNCTIONS)

    def test_an_access_token_is_secret(self, shared_native: Native, server: Sandbox) -> None:
        """It travels as a secret value, which engine and SDKs keep so."""
        with Client(Settings().resolve({}, server.environment)) as client:
            token = client.get_access_token("first", "a").reveal()
        assert token in server.secrets
        for arguments in ({"connectionId": "a"}, {"connectionId": "a", "project": "first"}):
            assert shared_native.invoke("getAccessToken", arguments) == {"accessToken": secret(token)}
        renewed = shared_native.invoke("getAccessToken", {"connectionId": "a", "refresh": "ifExpired"})
        assert renewed.keys() == {"accessToken"}
        assert renewed["accessToken"] == secret(renewed["accessToken"]["value"])
        assert renewed["accessToken"]["value"] in server.secrets - {token}
        shared_native.answers.clear()

    @pytest.mark.parametrize(("name", "arguments", "reason"), REFUSED, ids=[reason for *_, reason in REFUSED])
    def test_what_cannot_be_asked_is_refused(
        self, native: Native, server: Sandbox, name: str, arguments: Arguments, reason: str
    ) -> None:
        """One sentence in the spelling of programs, with the nearest name; nothing is asked."""
        for preview in (False, True):
            assert sentence(lambda: native.invoke(name, arguments, preview=preview)).startswith(reason)  # noqa: B023
        assert not server.requests

    def test_another_package_is_refused(self, native: Native) -> None:
        """A function has the package's name and module."""
        for token in ("other:index:getProjects", "ampersand:other:getProjects", "getProjects", "ampersand:getProjects"):
            said = sentence(lambda: native.engine.Invoke(proto.InvokeRequest(tok=token)))  # noqa: B023
            assert said.startswith(f"there is no function {token}")

    @pytest.mark.parametrize(("fault", "word"), FAULTS, ids=[fault for fault, _ in FAULTS])
    @pytest.mark.parametrize("name", DOING)
    def test_what_the_api_refuses_is_a_sentence(
        self, native: Native, server: Sandbox, name: str, fault: str, word: str
    ) -> None:
        """What was read, where, and what went wrong; the next call asks again."""
        server.faults = [fault]
        arguments, doing = DOING[name]
        said = sentence(lambda: native.invoke(name, arguments))
        assert said.startswith(doing.format(url=server.url))
        assert word in said
        asked = len(server.requests)
        assert asked > 0
        sentence(lambda: native.invoke(name, arguments))
        assert len(server.requests) == 2 * asked

    @pytest.mark.parametrize(
        ("name", "arguments", "word"),
        [
            ("getConnection", {"connectionId": "zzz"}, "404 connectionId: the project has no such connection"),
            ("getAccessToken", {"connectionId": "zzz"}, "404 connectionId: the project has no such connection"),
            ("getConnections", {"project": HOSTILE}, "404 projectIdOrName: no project has this id or name"),
            ("getConnection", {}, "expected one connection, found 3: a (hubspot, Acme Ltd), b (salesforce, globex), "),
            ("getConnection", {"provider": "salesforce"}, NOT_ONE),
            ("getConnection", {"provider": "nobody"}, f"expected one connection, found none; {NOT_ONE}"),
            ("getConnection", {"connectionId": "a", "provider": "salesforce"}, f"found none; {NOT_ONE}"),
        ],
    )
    def test_what_is_not_there(self, native: Native, name: str, arguments: Arguments, word: str) -> None:
        """One sentence says so."""
        assert word in sentence(lambda: native.invoke(name, arguments))

    def test_an_outage_ends_with_patience(self, server: Sandbox, start_native: StartNative) -> None:
        """Repetitions are the client's; what comes of them is a sentence."""
        native = start_native()
        native.configure({**settings_for(server), "timeout": "1.5"})
        server.faults = ["503"]
        assert ": 503 " in sentence(lambda: native.invoke("getProjects"))
        assert len(server.requests) >= 2
        server.stop()
        try:
            assert sentence(lambda: native.invoke("getConnections")).startswith("reading connections of project ")
        finally:
            server.start()

    def test_secrets_come_as_what_they_are(self, native: Native) -> None:
        """The handshake agreed on that; one that comes wrapped all the same isn't taken for text."""
        said = sentence(lambda: native.invoke("getConnections", {"provider": secret("hubspot")}))
        assert said == 'provider must be text, for example provider="…"'


class TestWarnings:
    """Gaps, which are warnings of the engine's."""

    @pytest.mark.parametrize("preview", [False, True])
    def test_details_that_could_not_be_had(
        self, server: Sandbox, engine_end: Engine, start_native: StartNative, preview: bool
    ) -> None:
        """The connections come, and one warning says which lacks what; Python's functions say the same."""
        server.list_credentials = False
        server.faults = ["500,retryable=false@one"]
        engine_end.logged.clear()
        native = start_native(engine_end.address)
        native.configure(settings_for(server))
        found = native.invoke("getConnections", {"provider": "salesforce"}, preview=preview)
        assert [(connection["id"], "scopes" in connection) for connection in found["connections"]] == [
            ("b", False),
            ("c", False),
        ]
        ((severity, message),) = engine_end.logged
        assert severity == engine_pb2.WARNING
        assert message.startswith("b (salesforce, globex) (and 1 more): its details could not be read: ")
        assert message == one_line(message)

        told: list[str] = []
        with contextlib.closing(Reads(Settings(), {}, server.environment, warn=told.append)) as reads:
            read_connections(reads, Query(provider="salesforce"))
        assert [without_number(text) for text in told] == [without_number(message)]

    def test_nothing_is_said_without_a_gap(self, native: Native, server: Sandbox, engine_end: Engine) -> None:
        """Details that came are no news."""
        server.list_credentials = False
        engine_end.logged.clear()
        assert native.invoke("getConnection", {"connectionId": "a", "details": "always"})["scopes"]
        assert engine_end.logged == []

    @pytest.mark.parametrize("address", ["127.0.0.1:1", ""], ids=["gone", "never-told"])
    def test_an_engine_that_cannot_be_told(self, server: Sandbox, start_native: StartNative, address: str) -> None:
        """The answer comes all the same, and nothing else is written."""
        server.list_credentials = False
        server.faults = ["500,retryable=false@one"]
        native = start_native(address)
        native.configure(settings_for(server))
        assert native.invoke("getConnection", {"groupRef": "globex"})["id"] == "b"

    @pytest.mark.parametrize("handshake", [False, True])
    def test_an_engine_that_tells_its_address_as_an_argument(
        self, tmp_path: Path, server: Sandbox, engine_end: Engine, handshake: bool
    ) -> None:
        """As all do; those before there was a handshake tell it nowhere else."""
        server.list_credentials = False
        server.faults = ["500,retryable=false@one"]
        engine_end.logged.clear()
        plugin = Plugin(MODULE, engine_end.address, folder=tmp_path, **server.environment)
        engine = provider_pb2_grpc.ResourceProviderStub(plugin.channel)
        if handshake:
            engine.Handshake(proto.ProviderHandshakeRequest())
        engine.Configure(proto.ConfigureRequest())
        engine.Invoke(proto.InvokeRequest(tok="ampersand:index:getConnections"))
        assert len(engine_end.logged) == 1
        assert plugin.stop() == ""


class TestLikeTheDynamicProvider:
    """The resource, whose documents and errors are those of the data source."""

    FILTERS: tuple[Arguments, ...] = (
        {},
        {"provider": "hubspot"},
        {"groupRef": "globex"},
        {"consumerRef": "jim"},
        {"provider": "x y&z", "groupRef": "é", "consumerRef": "#"},
        {"project": "second"},
        {"project": None, "provider": None},
        {"details": "always"},
        {"details": "never"},
        {"provider": "nobody"},
        {"expect": {"min": 1, "max": 3}},
        {"provider": "hubspot", "expect": {"healthy": True, "scopes": [["api", "other"]]}},
        {"groupRef": UNKNOWN, "provider": "x"},
        {"groupRef": [UNKNOWN], "provider": "x"},
        {"project": {"a": ["b", {"c": UNKNOWN}]}},
        {"details": UNKNOWN},
        {"provider": "hubspot", "expect": {"min": UNKNOWN}},
        {"provider": "hubspot", "expect": {"scopes": [["a", UNKNOWN]]}},
    )

    @pytest.mark.parametrize("filters", FILTERS, ids=json.dumps)
    def test_documents(self, native: Native, dynamic: Provider, server: Sandbox, filters: Arguments) -> None:
        """Check, create, update, diff and read make the same of the same inputs."""
        inputs = native.check(filters)
        server.reset()
        assert inputs == dynamic.check(filters)
        name, created = native.create(inputs)
        assert created == outputs(inputs)
        assert uuid.UUID(name).version == 4
        assert native.create(inputs, preview=True) == ("", created)
        changed = [{**inputs, "connections": "new"}, {**inputs, "provider": "new"}, {**inputs, "observations": "new"}]
        for news in (inputs, *changed):
            assert native.changes(created, news) == dynamic.changes(created, news)
            assert native.update(created, news) == outputs(news)
        if UNKNOWN not in json.dumps(inputs):
            # The dynamic provider is shown no unknowns but in checks.
            assert created == dynamic.create(inputs)[1]
            assert [native.update(created, news) for news in changed] == [
                dynamic.update(created, news) for news in changed
            ]
            assert native.read(created) == dynamic.read(created) == (created, inputs)

    def test_refreshing_tokens(self, native: Native, server: Sandbox) -> None:
        """Refresh is asked for, and stays an input; what it changes is no change of the resource."""
        before = native.check({"provider": "hubspot"})
        server.clear_requests()
        inputs = native.check({"provider": "hubspot", "refresh": "ifExpired"}, before)
        assert requests(server)[1] == (
            "/v1/projects/first/connections/a",
            {"includeRefreshToken": "true", "refresh": "ifExpired"},
        )
        assert (inputs["refresh"], inputs["connections"]) == ("ifExpired", before["connections"])
        assert inputs["observations"] != before["observations"]

    @pytest.mark.parametrize(
        ("fault", "filters"),
        [
            *((fault, {}) for fault, _ in FAULTS),
            ("", {"project": f"gone{HOSTILE}"}),
            ("", {"details": "alwyas"}),
            ("", {"refresh": "force"}),
            ("", {"expect": {"min": 9}}),
            ("", {"expect": {"max": 0, "healthy": True}}),
            ("", {"expect": {"min": "a"}}),
            ("", {"expect": {"min": 2, "max": 1}}),
            ("", {"expect": {"scopes": [5]}}),
            ("", {"expect": {"workspace": "("}}),
        ],
        ids=str,
    )
    def test_failures(self, native: Native, dynamic: Provider, server: Sandbox, fault: str, filters: Arguments) -> None:
        """What can't be read, and what isn't as it is expected, is said in the same words."""
        server.faults = [fault] if fault else []
        _, failures = dynamic.try_check(filters)
        said = [without_number(reason) for reason in native.failures(filters)]
        assert said == [without_number(reason) for _, reason in failures]
        assert said

    @pytest.mark.parametrize(("fault", "_word"), FAULTS[:3], ids=[fault for fault, _ in FAULTS[:3]])
    def test_a_refresh_that_fails(
        self, native: Native, dynamic: Provider, server: Sandbox, fault: str, _word: str
    ) -> None:
        """A key that is refused may be that of the state, which is said; the sentence is the same."""
        before = outputs(native.check({}))
        server.faults = [fault]
        said = sentence(lambda: native.read(before))
        assert without_number(said) == without_number(dynamic.read_error(before))
        assert ("if the state holds an older key, run pulumi up" in said) is (fault == "401")

    def test_a_refresh_records_what_vanished(self, native: Native, server: Sandbox) -> None:
        """What is gone is gone from outputs and inputs, and what happened to the rest is seen."""
        before = native.check({})
        server.connections = [one for one in server.connections if one["id"] != "b"]
        server.update("a", status="bad_credentials")
        after, inputs = native.read(outputs(before))
        assert listed_ids(after) == listed_ids(inputs) == ["a", "c"]
        assert json.loads(inputs["observations"])["observations"][0]["status"] == "bad_credentials"
        assert inputs == native.check({})

    def test_how_connections_were_found_is_no_change(self, native: Native, server: Sandbox) -> None:
        """A token refresh, or created after working, is seen by packs and changes no resource."""
        before = native.check({})
        server.update("a", status="created", updateTime="@now+1h")
        after = native.check({})
        assert before["observations"] != after["observations"]
        assert not native.changes(outputs(before), after)
        server.update("a", status="bad_credentials")
        assert native.changes(outputs(before), native.check({}))

    def test_details_that_fail_keep_what_was_known(self, native: Native, server: Sandbox) -> None:
        """A failed call of one connection is no change; packs see the gap."""
        server.list_credentials = False
        before = native.check({})
        server.faults = ["500,retryable=false@one"]
        after = native.check({}, before)
        assert after["connections"] == before["connections"]
        assert "what was known before is kept" in after["observations"]
        assert native.check({})["connections"] != before["connections"]


class TestResource:
    """What the resource refuses."""

    @pytest.mark.parametrize(
        ("inputs", "reasons"),
        [
            ({"provder": "a"}, ['Connections has no input "provder" (did you mean "provider"?)']),
            ({"group_ref": "a"}, ['Connections has no input "group_ref" (did you mean "groupRef"?)']),
            (
                {"zzz": "a", "connectionId": "a"},
                [
                    'Connections has no input "connectionId"',
                    'Connections has no input "zzz"',
                ],
            ),
            ({"settings": {"apiKeyEnv": "X"}}, ['Connections has no input "settings" (did you mean "details"?)']),
            ({"after": ["urn"]}, ['Connections has no input "after"']),
            ({"single": True}, ['Connections has no input "single"']),
            ({HOSTILE: "a"}, [f'Connections has no input "{one_line(HOSTILE)}"']),
            ({"groupRef": 5}, ['groupRef must be text, for example groupRef="…"']),
            ({"project": ["a"]}, ['project must be text, for example project="…"']),
            ({"consumerRef": {"a": "b"}}, ['consumerRef must be text, for example consumerRef="…"']),
            ({"provider": True}, ['provider must be text, for example provider="…"']),
            ({"groupRef": ""}, ["groupRef is empty; leave it out to filter by nothing"]),
        ],
        ids=json.dumps,
    )
    def test_inputs_that_mean_nothing(
        self, native: Native, server: Sandbox, inputs: Arguments, reasons: list[str]
    ) -> None:
        """Each has its line with the nearest name, in the spelling of programs; nothing is asked."""
        assert sorted(native.failures(inputs)) == reasons
        assert not server.requests

    @pytest.mark.parametrize("expected", ["x", 5, True, "", 0, False, [], [{"min": 1}]], ids=json.dumps)
    def test_expectations_of_another_shape(self, native: Native, expected: Any) -> None:
        """Programs in other languages have no type that would refuse them."""
        assert native.failures({"expect": expected}) == [f"expect must be an object; it takes {', '.join(EXPECTED)}"]

    def test_an_expectation_that_means_nothing(self, native: Native) -> None:
        """Its line has the nearest name."""
        assert native.failures({"expect": {"mni": 1}}) == [
            f'expect has no "mni" (did you mean "min"?); it takes {", ".join(EXPECTED)}'
        ]

    def test_an_output_that_programs_name_is_no_input(self, native: Native) -> None:
        """SDKs send null for it."""
        assert listed_ids(native.check({"connections": None, "provider": "hubspot"})) == ["a"]

    def test_expectations_that_are_not_known_yet(self, native: Native) -> None:
        """As a whole, they are expected of the update."""
        assert listed_ids(native.check({"expect": UNKNOWN})) == ["a", "b", "c"]

    def test_an_unknown_filter_reads_nothing(self, native: Native, server: Sandbox) -> None:
        """Left out, it would read every connection of the project; so both documents are unknown."""
        before = native.check({})
        server.clear_requests()
        inputs = native.check({"groupRef": UNKNOWN}, before)
        assert inputs == {"groupRef": UNKNOWN, "connections": UNKNOWN, "observations": UNKNOWN}
        assert native.create(inputs, preview=True) == ("", outputs(inputs))
        assert native.changes(outputs(before), inputs)
        assert not server.requests

    @pytest.mark.parametrize("kind", ["ampersand:index:Conections", "ampersand:index:ConnectionRef"])
    def test_other_types_are_refused(self, native: Native, server: Sandbox, kind: str) -> None:
        """There is one type; inside components, too."""
        urn = f"urn:pulumi:dev::test::my:own:Component${kind}::all"
        said = sentence(lambda: native.engine.Check(proto.CheckRequest(urn=urn, news=struct({}))))
        assert said == f"there is no resource {kind}, only {RESOURCE}"
        assert not server.requests
        native.engine.Check(proto.CheckRequest(urn=urn.replace(kind, RESOURCE), news=struct({})))

    @pytest.mark.parametrize("told", [{}, {"provider": "hubspot"}, {"project": "first"}], ids=json.dumps)
    def test_import_and_get_are_refused(self, native: Native, server: Sandbox, told: Arguments) -> None:
        """What is asked for by an ID, no policy pack would see."""
        assert sentence(lambda: native.read(told)) == "Connections is read, not imported: give filters instead"
        assert not server.requests

    @pytest.mark.parametrize(
        ("call", "request_"),
        [
            ("Call", proto.CallRequest(tok="ampersand:index:x")),
            ("Construct", proto.ConstructRequest(type=RESOURCE)),
            ("Parameterize", proto.ParameterizeRequest()),
            ("GetMapping", proto.GetMappingRequest(key="terraform")),
            ("GetMappings", proto.GetMappingsRequest(key="terraform")),
        ],
        ids=["Call", "Construct", "Parameterize", "GetMapping", "GetMappings"],
    )
    def test_what_the_protocol_has_besides(self, native: Native, call: str, request_: Any) -> None:
        """The engine is told that there is no such call, which it knows how to take."""
        with pytest.raises(grpc.RpcError) as caught:
            getattr(native.engine, call)(request_)
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


class TestSettings:
    """What a provider is configured with."""

    ONLY = f"the settings are {', '.join(CONFIG_KEYS)}"

    def test_all_settings_pass(self, native: Native, server: Sandbox) -> None:
        """Those of the schema, the gate, which is for the pack, and further keys; unknown ones, too."""
        given: dict[str, Any] = dict.fromkeys(package_schema.schema()["provider"]["inputProperties"], "x")
        given |= {
            "version": "0.1.0",
            "pluginDownloadURL": "x",
            "gate": '{"provider":"a"}',
            "apiKeyEu": "y",
            "project": UNKNOWN,
            "timeout": 30,
        }
        inputs, wrong = native.check_settings(given)
        assert wrong == []
        assert inputs == {**given, **{name: secret(given[name]) for name in ("apiKey", "apiKeyEu", "proxy")}}
        assert native.check_settings({"apiKey": UNKNOWN}) == ({"apiKey": UNKNOWN}, [])
        assert native.check_settings({"apiKey": secret("s"), "proxy": secret("t")}) == (
            {"apiKey": secret("s"), "proxy": secret("t")},
            [],
        )
        assert not server.requests

    @pytest.mark.parametrize(
        ("name", "then"),
        [
            ("default", "; run: pulumi config rm ampersand:{key}"),
            ("default_0_1_0", "; run: pulumi config rm ampersand:{key}"),
            ("eu", ""),
            ("default-eu", ""),
        ],
    )
    def test_settings_that_mean_nothing(self, native: Native, name: str, then: str) -> None:
        """Each has its line with the nearest name; the command that mends it is for the stack's configuration."""
        _, wrong = native.check_settings({"apiUlr": "x", "apikey": "y", "zzzz": "z", "project": "first"}, name)
        assert wrong == [
            f'"ampersand:{key}" is no setting{hint}; {self.ONLY}{then.format(key=key)}'
            for key, hint in (
                ("apiUlr", ' (did you mean "apiUrl"?)'),
                ("apikey", ' (did you mean "apiKey"?)'),
                ("zzzz", ""),
            )
        ]

    def test_a_project_of_the_same_name(self, start_native: StartNative) -> None:
        """A Pulumi project called "ampersand" keeps its own configuration there."""
        native = start_native(PULUMI_PROJECT="ampersand")
        assert native.check_settings({"region": "eu"}, "default") == ({"region": "eu"}, [])

    @pytest.mark.parametrize("setting", CONFIG_KEYS)
    def test_a_changed_setting_replaces_nothing(self, native: Native, setting: str) -> None:
        """Other settings are no other connections."""
        for olds, news in (({setting: "a"}, {setting: "b"}), ({}, {setting: "b"}), ({setting: "a"}, {})):
            answer = native.engine.DiffConfig(
                proto.DiffRequest(urn=PROVIDER + "eu", olds=struct(olds), news=struct(news), old_inputs=struct(olds))
            )
            assert (answer.changes, list(answer.replaces)) == (proto.DiffResponse.DIFF_SOME, [])
        same = proto.DiffRequest(urn=PROVIDER + "eu", olds=struct({setting: "a"}), news=struct({setting: "a"}))
        assert native.engine.DiffConfig(same).changes == proto.DiffResponse.DIFF_NONE

    def test_configuring_neither_fails_nor_connects(self, start_native: StartNative) -> None:
        """What is missing or wrong is told when it is needed; deleting needs nothing."""
        native = start_native()
        for settings, reason in self.WRONG:
            native.configure(settings)
            native.delete()
            assert not native.changes({"project": "a"}, {"project": "a"})
            for _ in range(2):
                assert sentence(lambda: native.invoke("getConnections")).startswith(reason)
                assert [failure[: len(reason)] for failure in native.failures({})] == [reason]
                assert sentence(lambda: native.read({"connections": ""})).startswith(reason)

    WRONG: tuple[tuple[Arguments, str], ...] = (
        ({}, "no API key; run: pulumi config set --secret ampersand:apiKey <key> (or set AMP_API_KEY)"),
        ({"apiKey": "a key"}, "the API key is empty or has characters that no HTTP header can carry"),
        ({"apiKey": "key", "apiUrl": "nonsense"}, "ampersand:apiUrl (or AMP_API_URL) is no http or https URL"),
        ({"apiKey": "key", "timeout": "soon"}, "ampersand:timeout (or AMP_TIMEOUT) must be a number of seconds"),
        ({"apiKey": "key", "concurrency": "0"}, "ampersand:concurrency must be a whole number"),
        ({"apiKey": "key", "details": "alwyas"}, "ampersand:details must be auto, always or never (did you mean"),
        ({"apiKey": "key", "caFile": "gone.pem"}, "ampersand:caFile: there is no file gone.pem"),
        ({"apiKey": "key"}, "no project; run: pulumi config set ampersand:project <id or name>"),
    )
    """Settings, and what is said once they are needed."""

    def test_numbers_come_as_text_or_numbers(self, native: Native, server: Sandbox) -> None:
        """SDKs send a provider's settings as text, YAML and the API send numbers."""
        for timeout, concurrency in (("20", "2"), (20.0, 2.0), ("20.0", "2.0")):
            native.configure({**settings_for(server), "timeout": timeout, "concurrency": concurrency})
            assert listed_ids(native.check({"provider": "hubspot"})) == ["a"]
        native.configure({**settings_for(server), "timeout": 20.0, "concurrency": 2.5})
        assert native.failures({}) == ["ampersand:concurrency must be a whole number, 1 to 256"]
        native.configure(settings_for(server))

    def test_the_environment(self, server: Sandbox, start_native: StartNative) -> None:
        """What settings don't say comes from the environment; what they say wins."""
        native = start_native(**server.environment | {"AMP_PROJECT": "first"})
        native.configure({"project": "second"})
        assert [one["id"] for one in native.invoke("getConnections")["connections"]] == ["d"]
        assert native.check({})["project"] == "second"
        other = start_native(**server.environment | {"AMP_PROJECT": "first"})
        other.configure({})
        assert listed_ids(other.check({})) == ["a", "b", "c"]

    def test_the_stack_s_key_stays_out_of_the_state(self, server: Sandbox, start_native: StartNative) -> None:
        """The engine tells it to each process: the default provider needn't keep it, and uses the present one."""
        told = {"apiKey": server.api_key, "apiUrl": server.url, "project": "first"}
        native = start_native(PULUMI_CONFIG=json.dumps(told))
        for name in ("default", "default_0_1_0"):
            inputs, wrong = native.check_settings(told, name)
            assert (wrong, "apiKey" in inputs) == ([], False)
            native.configure(inputs, name)
            assert listed_ids(native.check({})) == ["a", "b", "c"]

    def test_an_explicit_provider_is_not_lent_the_stack_s_key(self, server: Sandbox, start_native: StartNative) -> None:
        """It could lead to another server; its own key lies in the state, for there alone it is."""
        native = start_native(PULUMI_CONFIG=json.dumps({"apiKey": server.api_key}))
        for name in ("eu", "default-eu", "defaulted"):
            inputs, _ = native.check_settings({"apiKey": server.api_key}, name)
            assert inputs == {"apiKey": secret(server.api_key)}
            native.configure({"apiUrl": server.url, "project": "first"}, name)
            assert [reason[:12] for reason in native.failures({})] == ["no API key; "]
        assert not server.requests


class TestSharing:
    """What one question's answer is good for."""

    def test_a_preview_asks_once(self, server: Sandbox, start_native: StartNative) -> None:
        """Twenty of the same call are one request, at once or one after the other; a failure is shared, too."""
        native = start_native()
        native.configure(settings_for(server))
        server.faults = ["slow:0.3,times=1@list"]
        with futures.ThreadPoolExecutor(10) as threads:
            found = list(threads.map(lambda _: native.invoke("getConnections", preview=True), range(20)))
        found += [native.invoke("getConnections", {"provider": None}, preview=True)]
        assert found == [found[0]] * 21
        assert [
            one["id"] for one in native.invoke("getConnections", {"provider": "hubspot"}, preview=True)["connections"]
        ] == ["a"]
        assert server.counts == {"list": 1}
        server.faults = ["403@projects"]
        assert len({sentence(lambda: native.invoke("getProjects", preview=True)) for _ in range(5)}) == 1
        assert server.counts["projects"] == 1

    def test_an_update_asks_each_time(self, server: Sandbox, start_native: StartNative) -> None:
        """Another resource may have changed the answer since, and nobody can tell."""
        native = start_native()
        native.configure(settings_for(server))
        native.invoke("getConnections", preview=True)
        for count in (2, 3, 4):
            server.connections = [sent(f"conn_{count}")]
            found = native.invoke("getConnections")["connections"]
            assert [one["id"] for one in found] == [f"conn_{count}"]
            assert server.counts["list"] == count
        assert listed_ids(native.check({})) == ["conn_4"]
        assert server.counts["list"] == 5

    def test_who_asks_meanwhile_shares_the_next_answer(self, native: Native, server: Sandbox) -> None:
        """An answer that is on its way was asked for before; twenty who find one on its way share the next."""
        server.faults = ["slow:1,times=1@list"]
        call = proto.InvokeRequest(tok="ampersand:index:getConnections", args=struct({"provider": "hubspot"}))
        first = native.engine.Invoke.future(call)
        while not server.requests:
            time.sleep(0.01)
        later = [native.engine.Invoke.future(call) for _ in range(20)]
        for one in (first, *later):
            assert getattr(one.result(_PATIENCE), "return")
        # On a busy computer some of them come later still.
        assert 2 <= server.counts["list"] <= 5


class TestInterruption:
    """A user who presses Ctrl-C, and an engine that is gone."""

    def hanging(self, native: Native, server: Sandbox, calls: int) -> list[Any]:
        """Calls of every kind that wait for the API, most of them for each other."""
        server.faults = [HANGING]
        engine, begun = native.engine, []
        for number in range(calls):
            filters = struct({"provider": f"p{number}"})
            properties = struct({"provider": f"p{number}", "connections": ""})
            begun += [
                engine.Invoke.future(proto.InvokeRequest(tok="ampersand:index:getConnections", args=filters)),
                engine.Check.future(proto.CheckRequest(urn=URN, news=filters)),
                engine.Read.future(proto.ReadRequest(id="id", urn=URN, properties=properties)),
            ]
        while not server.requests:
            time.sleep(0.01)
        return begun

    @pytest.fixture
    def waiting(self, server: Sandbox, start_native: StartNative) -> Native:
        """A plugin whose API hangs."""
        native = start_native()
        native.configure({**settings_for(server), "timeout": "600"})
        return native

    @pytest.mark.parametrize("calls", [1, 40])
    def test_a_cancel_ends_what_waits(self, waiting: Native, server: Sandbox, calls: int) -> None:
        """All say that they were interrupted, however many there are; so does who comes later."""
        begun = self.hanging(waiting, server, calls)
        waiting.engine.Cancel(empty_pb2.Empty(), timeout=_PATIENCE)
        for call in begun:
            assert sentence(lambda: call.result(_PATIENCE)) == "interrupted"  # noqa: B023
        assert sentence(lambda: waiting.invoke("getProjects")) == "interrupted"
        waiting.engine.Cancel(empty_pb2.Empty(), timeout=_PATIENCE)
        waiting.delete()

    def test_an_interrupt_ends_the_process(self, waiting: Native, server: Sandbox) -> None:
        """Though calls wait for the API; nothing is said. The fixture interrupts it."""
        self.hanging(waiting, server, 1)

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems tell nobody")
    def test_it_ends_with_the_engine(self, tmp_path: Path, server: Sandbox) -> None:
        """An engine that is killed reads no more of what it says; the process is gone then, though calls wait."""
        native = Native(tmp_path)
        native.configure(settings_for(server))
        self.hanging(native, server, 1)
        process = native.plugin._process
        assert process.stdout is not None
        process.stdout.close()
        try:
            assert process.wait(_PATIENCE) == 1
        finally:
            process.kill()
        native.plugin._watchdog.cancel()
        native.plugin.channel.close()
        assert process.stderr is not None
        with process.stderr as stderr:
            assert stderr.read() == ""
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


METASCHEMA = "pkg/mod/github.com/pulumi/pulumi/pkg/v3@v3.*/codegen/schema/pulumi.json"


class TestSchema:
    """The schema of the package, from which SDKs are made."""

    SHIPPED = package_schema.FILE.read_text(encoding="utf-8")
    SCHEMA: dict[str, Any] = json.loads(SHIPPED)

    def test_it_is_up_to_date(self) -> None:
        """What ships is what docstrings say."""
        assert package_schema.text() == self.SHIPPED, f"the schema is out of date; run: {reference.COMMAND}"

    def test_the_plugin_tells_it(self, native: Native) -> None:
        """With the version, which is the plugin's, too."""
        told = json.loads(native.engine.GetSchema(proto.GetSchemaRequest()).schema)
        assert told == {**self.SCHEMA, "version": __version__}
        assert native.engine.GetPluginInfo(empty_pb2.Empty()).version == __version__

    def test_functions_and_arguments_are_those_of_the_plugin(self) -> None:
        """So is the resource with its inputs, and what it expects."""
        functions = {name.rpartition(":")[2]: shape for name, shape in self.SCHEMA["functions"].items()}
        assert set(functions) == set(FUNCTIONS)
        for name, (_, arguments) in FUNCTIONS.items():
            assert tuple(functions[name].get("inputs", {}).get("properties", {})) == arguments
            assert set(arguments) <= set(PROPERTIES.values())
        assert list(self.SCHEMA["resources"]) == [RESOURCE]
        assert tuple(self.SCHEMA["resources"][RESOURCE]["inputProperties"]) == product._INPUTS
        assert tuple(self.SCHEMA["types"]["ampersand:index:Expect"]["properties"]) == EXPECTED

    def test_settings_are_those_of_the_stack_s_configuration(self) -> None:
        """But for the gate, which is the pack's; keys and a proxy's password are secret."""
        settings = self.SCHEMA["provider"]["inputProperties"]
        assert set(settings) == set(CONFIG_KEYS) - {"gate"}
        assert settings == self.SCHEMA["config"]["variables"]
        assert {name for name, shape in settings.items() if shape.get("secret")} == {"apiKey", "proxy"}

    def described(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Whatever a reader is shown, and where it stands."""

        def walk(path: str, node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
            if isinstance(node, dict):
                for name, part in node.items():
                    if name in {"properties", "inputProperties", "variables", "types", "resources", "functions"}:
                        yield from ((f"{path}.{name}.{key}", shape) for key, shape in part.items())
                    yield from walk(f"{path}.{name}", part)
            elif isinstance(node, list):
                for number, part in enumerate(node):
                    if isinstance(part, dict) and "value" in part:
                        yield f"{path}.{number}", part
                    yield from walk(f"{path}.{number}", part)

        yield from walk("", self.SCHEMA)
        yield ".provider", self.SCHEMA["provider"]

    def test_everything_is_described(self) -> None:
        """Each function, argument, field and word."""
        described = dict(self.described())
        assert len(described) > 80
        assert [path for path, shape in described.items() if not shape.get("description", "").strip()] == []

    def test_descriptions_are_not_about_python(self) -> None:
        """They name what all languages have: no argument of Python's, no markup of docstrings."""
        python = re.compile(
            r"\b[a-z]+_[a-z_]+\b|\bNone\b|\bTrue\b|\bFalse\b|``|`settings`|pulumi_ampersand|ampersand\."
        )
        wrong = []
        for path, shape in self.described():
            prose = re.sub(r"\{\{% examples %\}\}.*?\{\{% /examples %\}\}", "", shape["description"], flags=re.DOTALL)
            wrong += [(path, found) for found in python.findall(prose.replace("access_token", ""))]
        assert wrong == []

    def test_results_fit(self, native: Native, server: Sandbox) -> None:
        """What functions give are the fields that the schema has, and the required ones are there."""
        for name, arguments in (("getConnections", {}), ("getConnection", {"connectionId": "a"}), ("getProjects", {})):
            shape = self.SCHEMA["functions"][f"ampersand:index:{name}"]["outputs"]
            resolved = {"$defs": {key: closed(part) for key, part in self.SCHEMA["types"].items()}, **closed(shape)}
            text = json.dumps(resolved).replace("#/types/", "#/$defs/")
            jsonschema.Draft202012Validator(json.loads(text)).validate(native.invoke(name, arguments))
        assert server.requests

    def test_it_is_valid(self) -> None:
        """By Pulumi's own schema of schemas, where the engine's module lies in Go's cache."""
        found = sorted((Path(os.environ.get("GOPATH") or Path.home() / "go")).glob(METASCHEMA))
        if not found:
            pytest.skip("the engine's Go module isn't in the module cache")
        # Its patterns name groups as ECMAScript does.
        metaschema = json.loads(re.sub(r"\(\?<(?=\w)", "(?P<", found[-1].read_text(encoding="utf-8")))
        validator = jsonschema.validators.validator_for(metaschema)(metaschema)
        assert [error.message for error in validator.iter_errors({**self.SCHEMA, "version": __version__})] == []
        assert list(validator.iter_errors({**self.SCHEMA, "functions": {"x": 5}}))


def closed(shape: dict[str, Any]) -> dict[str, Any]:
    """An object type that has no other fields."""
    return {**shape, "additionalProperties": False} if "properties" in shape else shape
