"""Access tokens in the real engine: fetched where they are used, secret wherever they go, and nowhere else."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from builders import two_projects
from conftest import MakeStack
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand_policies.testing import connection as sent
from pulumi_ampersand_policies.testing import grant
from stack import Stack

pytestmark = pytest.mark.engine

KOYO = "conn_koyo_slack"
BRIGHTWATER = "conn_brightwater_salesforce"
ENDING = "error: an unhandled error occurred: program exited with non-zero exit code: 1"

PROGRAM = """
import json

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider

import pulumi_ampersand as ampersand


class Sinking(ResourceProvider):
    def create(self, props):
        with open(props["name"] + ".json", "w") as file:
            json.dump(props["value"], file)
        return CreateResult("sunk", {**props, "connection": "conn_koyo_slack"})


class Sink(Resource):
    connection: pulumi.Output[str]

    def __init__(self, name, value):
        super().__init__(Sinking(), name, {"name": name, "value": value, "connection": None})


"""
"""A resource that writes what it is given to a file, and names a connection once it exists."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with a token for each OAuth connection."""
    with Sandbox("healthy") as running:
        yield running


def token_of(sandbox: Sandbox, connection_id: str = KOYO) -> str:
    """A connection's access token as the API has it."""
    (found,) = [one for one in sandbox.connections if one["id"] == connection_id]
    token: str = found["oauth2AuthorizationCode"]["accessToken"]["token"]
    assert token.startswith("CANARY")
    return token


def asked(sandbox: Sandbox) -> list[tuple[str, dict[str, str]]]:
    """The requests since the last time: the end of the path, and the query."""
    requests = [(request.path.rpartition("/")[2], dict(request.query)) for request in sandbox.requests]
    sandbox.clear_requests()
    return requests


def places_with(token: str, stack: Stack, shown: dict[str, str]) -> set[str]:
    """Where a token is, in clear or as base64: in what commands showed, or in what Pulumi keeps in files."""
    forms = [token, *(base64.b64encode(b"x" * shift + token.encode())[4:-4].decode() for shift in range(3))]
    kept = {
        str(file): file.read_bytes().decode("utf-8", "replace")
        for folder in (".state", ".home")
        for file in (stack.folder / folder).rglob("*")
        if file.is_file()
    }
    assert any(file.endswith("dev.json") for file in kept)
    return {place for place, text in {**kept, **shown}.items() if any(form in text for form in forms)}


UNUSED = (
    PROGRAM
    + f"""
ampersand.get_access_token({KOYO!r})
tokens = {{name: ampersand.get_access_token(name) for name in ("conn_lumen_gong", "missing", {BRIGHTWATER!r})}}
kept = [ampersand.get_access_token(ampersand.Connections("crm", provider="slack").one().id)]
pulumi.export("count", len(tokens) + len(kept))
"""
)


def test_an_unused_token_is_not_asked_for(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Neither in a preview nor in an update, even where there is none to be had."""
    stack = make_stack(UNUSED)
    stack.preview(check=True)
    stack.up(check=True)
    assert stack.outputs() == {"count": 4}
    assert asked(sandbox) == [("connections", {"provider": "slack"})] * 2


USED = (
    PROGRAM
    + f"""
token = ampersand.get_access_token({KOYO!r})
again = ampersand.get_access_token(connection_id={KOYO!r}, project="quickstart")
other = ampersand.get_access_token(pulumi.Output.from_input({BRIGHTWATER!r}))
Sink("sink", {{"headers": [{{"Authorization": pulumi.Output.concat("Bearer ", token)}}], "tokens": [token, again]}})
pulumi.export("token", token)
pulumi.export("again", again)
pulumi.export("other", other)
"""
)


def test_a_token_is_secret_wherever_it_goes(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Previews show [secret], the state holds ciphertext, files and other output nothing; the sink has the token."""
    token, other = token_of(sandbox), token_of(sandbox, BRIGHTWATER)
    stack = make_stack(USED)
    shown = {}
    for arguments in (["preview"], ["preview", "--diff"], ["preview", "--json"]):
        shown[" ".join(arguments)] = stack.run(*arguments, check=True).text
        # Uses of one token share one request, the data of a preview included.
        assert sorted(asked(sandbox)) == [(BRIGHTWATER, {"includeCreds": "true"}), (KOYO, {"includeCreds": "true"})]
    for name in ("token", "again", "other"):
        assert re.search(rf'^ +{name} *: "?\[secret\]"?$', shown["preview"], re.MULTILINE), name
        assert re.search(rf'^ +{name} *: "?\[secret\]"?$', shown["preview --diff"], re.MULTILINE), name
    (planned,) = [
        step["newState"]
        for step in json.loads(shown["preview --json"])["steps"]
        if step["urn"].endswith("::sink") and step["op"] == "create"
    ]
    assert planned["inputs"]["value"] == {"headers": "[secret]", "tokens": "[secret]"}

    shown["up"] = stack.up("--diff", check=True).text
    assert sorted(asked(sandbox)) == [(BRIGHTWATER, {"includeCreds": "true"}), (KOYO, {"includeCreds": "true"})]
    assert stack.outputs() == {"token": token, "again": token, "other": other}
    assert json.loads((stack.folder / "sink.json").read_text()) == {
        "headers": [{"Authorization": f"Bearer {token}"}],
        "tokens": [token, token],
    }

    shown["output"] = stack.run("stack", "output", "--json", check=True).text
    assert json.loads(shown["output"]) == {"token": "[secret]", "again": "[secret]", "other": "[secret]"}
    shown["export"] = stack.run("stack", "export", check=True).text
    resources = json.loads(shown["export"])["deployment"]["resources"]
    outputs = next(resource["outputs"] for resource in resources if resource["type"] == "pulumi:pulumi:Stack")
    assert ["ciphertext" in outputs[name] for name in ("token", "again", "other")] == [True] * 3
    (sink,) = [resource for resource in resources if resource["urn"].endswith("::sink")]
    assert ["ciphertext" in json.dumps(sink[side]["value"]) for side in ("inputs", "outputs")] == [True, True]

    shown["refresh"] = stack.refresh("--diff", check=True).text
    shown["quiet"] = stack.preview("--expect-no-changes", "--diff", check=True).text
    asked(sandbox)
    # Nobody listens there. Stopping the sandbox would leave its port to whoever asks for one first.
    shown["failed"] = stack.preview("--config", "ampersand:timeout=0.2", AMP_API_URL="http://127.0.0.1:1").text
    assert "check the network, proxy and ampersand:apiUrl" in shown["failed"]
    shown["destroy"] = stack.destroy(check=True).text
    assert asked(sandbox) == []
    assert places_with(token, stack, shown) == places_with(other, stack, shown) == set()


FORMS = (
    PROGRAM
    + f"""
def token():
    return ampersand.get_access_token({KOYO!r})


ids = ampersand.Connections("chat", provider="slack").ids
forms = {{
    "apply": token().apply(lambda text: "a:" + text),
    "await": pulumi.Output.from_input(token()).apply(len),
    "all": pulumi.Output.all(token(), "x").apply(lambda values: "-".join(values)),
    "named": pulumi.Output.all(token=token()).apply(lambda values: values["token"]),
    "concat": pulumi.Output.concat("Bearer ", token()),
    "format": pulumi.Output.format("{{0}}/{{1}}", token(), "x"),
    "format_named": pulumi.Output.format("{{t}}", t=token()),
    "json": pulumi.Output.json_dumps({{"token": token()}}),
    "dict": {{"a": {{"b": token()}}}},
    "list": ["x", [token()]],
    "inside": pulumi.Output.from_input("x").apply(lambda text: token().apply(lambda secret: text + secret)),
    "returned": pulumi.Output.from_input("x").apply(lambda text: token()),
    "by_output": ids.apply(lambda ids: ampersand.get_access_token(ids[0])),
    "by_lifted": ampersand.get_access_token(ids[0]),
    "lifted": token().upper.apply(lambda upper: upper()),
    "element": token()[0:6],
    "secret": pulumi.Output.secret(token()),
}}
for name, form in forms.items():
    pulumi.export(name, form)
once = token()
pulumi.export("twice", pulumi.Output.all(once, once, once.apply(len)).apply(lambda values: values[0] == values[1]))
pulumi.export("is_secret", pulumi.Output.from_input(None).apply(lambda _: token().is_secret()))
pulumi.export("plain", pulumi.Output.unsecret(token()).apply(len))
pulumi.export("prefix", pulumi.Output.unsecret(token().apply(lambda text: text[:6])))
Sink("deep", {{"a": [{{"b": token()}}, token()], "c": token()}})
"""
)


def test_it_is_an_output_like_any_other(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """All that takes an output takes it, however deep it lies; whatever is made of it is secret until unsecret says."""
    token = token_of(sandbox)
    stack = make_stack(FORMS)
    preview = stack.preview(check=True)
    assert token not in preview.text
    assert "[unknown]" not in preview.text
    assert sorted(asked(sandbox)) == [(KOYO, {"includeCreds": "true"}), ("connections", {"provider": "slack"})]
    stack.up(check=True)
    assert sorted(asked(sandbox)) == [(KOYO, {"includeCreds": "true"}), ("connections", {"provider": "slack"})]
    plain = {"is_secret": True, "plain": len(token), "prefix": "CANARY"}
    forms: dict[str, Any] = {
        "apply": f"a:{token}",
        "await": len(token),
        "all": f"{token}-x",
        "named": token,
        "concat": f"Bearer {token}",
        "format": f"{token}/x",
        "format_named": token,
        "json": json.dumps({"token": token}),
        "dict": {"a": {"b": token}},
        "list": ["x", [token]],
        "inside": f"x{token}",
        "returned": token,
        "by_output": token,
        "by_lifted": token,
        "lifted": token.upper(),
        "element": "CANARY",
        "secret": token,
        "twice": True,
    }
    assert stack.outputs() == forms | plain
    hidden = json.loads(stack.run("stack", "output", "--json", check=True).out)
    assert {name: hidden[name] for name in plain} == plain
    assert token not in json.dumps(hidden)
    nested = {"dict": {"a": {"b": "[secret]"}}, "list": ["x", ["[secret]"]]}
    for name in forms:
        assert hidden[name] in ("[secret]", nested.get(name)), name
    assert json.loads((stack.folder / "deep.json").read_text()) == {"a": [{"b": token}, token], "c": token}
    assert places_with(token, stack, {}) == set()


UNKNOWN = (
    PROGRAM
    + """
sink = Sink("sink", "")
token = ampersand.get_access_token(sink.connection)
pulumi.export("token", token)
pulumi.export("length", pulumi.Output.unsecret(token).apply(len))
Sink("after", token)
"""
)


def test_by_an_id_that_is_not_known_yet(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Nothing is asked for in a preview; the update asks once the ID is known."""
    token = token_of(sandbox)
    stack = make_stack(UNKNOWN)
    preview = stack.preview(check=True)
    assert re.search(r"^    length *: \[unknown\]$", preview.out, re.MULTILINE)
    assert sandbox.requests == []
    stack.up(check=True)
    assert asked(sandbox) == [(KOYO, {"includeCreds": "true"})]
    assert stack.outputs() == {"token": token, "length": len(token)}
    assert json.loads((stack.folder / "after.json").read_text()) == token
    quiet = stack.preview("--expect-no-changes", "--diff", check=True)
    assert token not in quiet.text
    assert places_with(token, stack, {}) == set()


ELSEWHERE = (
    PROGRAM
    + """
eu = ampersand.Settings(api_key_env="AMP_API_KEY_EU", api_url=pulumi.Config().require("url"), project="second")
found = {
    "settings": ampersand.get_access_token("d", settings=eu),
    "project": ampersand.get_access_token("a", project=pulumi.Output.from_input("first"), settings=eu),
}
pulumi.export("found", found)
"""
)


def test_of_another_project_by_another_key(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Settings and project say where it is; nobody else is asked."""
    with Sandbox(projects=two_projects(), api_key="CANARY-KEY-EU") as other:
        stack = make_stack(ELSEWHERE, AMP_API_KEY_EU="CANARY-KEY-EU")
        stack.configure("url", other.url)
        stack.up(check=True)
        assert stack.outputs() == {"found": {"settings": "CANARY-accessToken", "project": "CANARY-accessToken"}}
        assert sorted(request.path for request in other.requests) == [
            "/v1/projects/first/connections/a",
            "/v1/projects/second/connections/d",
        ]
    assert sandbox.requests == []


REFRESH = (
    PROGRAM
    + """
pulumi.export("refreshed", ampersand.get_access_token("old", refresh="ifExpired"))
"""
)


def test_it_is_refreshed_on_request(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """The API is asked to, and what it then sends is what is exported."""
    sandbox.connections = [sent("old", oauth2AuthorizationCode=grant(access="@now-1h", refresh="@now+9d"))]
    stack = make_stack(REFRESH)
    stack.up(check=True)
    assert asked(sandbox) == [("old", {"includeCreds": "true", "refresh": "ifExpired"})]
    assert stack.outputs() == {"refreshed": token_of(sandbox, "old")}
    assert stack.outputs()["refreshed"].startswith("CANARY-accessToken-renewed-")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(
            '"conn_lumen_gong"',
            'reading the access token of connection "conn_lumen_gong" of project "quickstart" at {url}: '
            "the API gave no access token for it (authScheme apiKey); check the connection's provider and ID",
            id="no-oauth",
        ),
        pytest.param(
            '"missing"',
            'reading the access token of connection "missing" of project "quickstart" at {url}: 404 connectionId: '
            "the project has no such connection. "
            "Check connectionId (request req_{number})",
            id="missing",
        ),
        pytest.param("None", 'connection_id must be text, for example connection_id="…"', id="none"),
        pytest.param('""', "connection_id is empty; leave it out to filter by nothing", id="empty"),
        pytest.param(
            f'"{KOYO}", refresh="force"',
            'refresh must be "ifExpired", or left out',
            id="refresh",
        ),
        pytest.param(
            f'"{KOYO}", settings="key"',
            "settings must be a Settings object",
            id="settings",
        ),
        pytest.param(
            f'"{KOYO}", settings=ampersand.Settings(api_key_env="UNSET_KEY")',
            "no API key; set UNSET_KEY",
            id="key",
        ),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    make_stack: MakeStack, sandbox: Sandbox, arguments: str, sentence: str
) -> None:
    """It ends the program, without a traceback."""
    stack = make_stack(PROGRAM + f'pulumi.export("token", ampersand.get_access_token({arguments}))\n')
    failed = stack.preview()
    assert failed.code != 0
    number = sandbox.requests[-1].number if sandbox.requests else 0
    first, ending = failed.diagnostics
    assert re.sub(r"\(request \S+\)", f"(request req_{number})", first) == (
        f"error: {sentence.format(url=sandbox.url, number=number)}"
    )
    assert ending == ENDING
