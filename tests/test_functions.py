"""The functions that read the API: in scripts, in Pulumi programs, in a user's unit tests, in the Automation API."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from builders import two_projects
from conftest import MakeStack
from pulumi_ampersand.sandbox import Sandbox
from stack import Result, clean_environment

KOYO = "conn_koyo_slack"
SALESFORCE = ["conn_brightwater_salesforce", "conn_lumen_salesforce"]
CHANGE = "change project, connection_id, provider, group_ref or consumer_ref"
ENDING = "error: an unhandled error occurred: program exited with non-zero exit code: 1"

IMPORTS = """
import json
import os
import urllib.request

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider

import pulumi_ampersand as ampersand


class Maker(ResourceProvider):
    def create(self, props):
        url = os.environ["AMP_API_URL"] + "/_sandbox/connections/" + props["connection"]
        body = json.dumps({"providerWorkspaceRef": "made"}).encode()
        urllib.request.urlopen(urllib.request.Request(url, data=body, method="PATCH")).close()
        return CreateResult("made", {**props, "provider": "slack"})


class Make(Resource):
    provider: pulumi.Output[str]

    def __init__(self, name, connection, opts=None):
        super().__init__(Maker(), name, {"connection": connection, "provider": None}, opts)


def attempt(work):
    try:
        work()
    except ampersand.AmpersandError as error:
        return str(error)


"""
"""A resource whose creation changes a connection's workspace, and which says "slack" once it exists."""

SCRIPT = """
import json
import os
import sys

import pulumi_ampersand as ampersand
from pulumi_ampersand import get_connection, get_connections, get_projects


def attempt(work):
    try:
        work()
    except ampersand.AmpersandError as error:
        return [type(error).__name__, str(error)]


"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with connections that lack nothing."""
    with Sandbox("healthy") as running:
        yield running


@pytest.fixture
def closed_port() -> str:
    """The root of an API that nobody serves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


class RunScript(Protocol):
    """Runs a script with a sandbox's environment."""

    def __call__(self, script: str, /, *options: str, **environment: str) -> Result:
        """With more of Python's options and environment variables; an empty one is unset."""


@pytest.fixture
def run(tmp_path: Path, sandbox: Sandbox) -> RunScript:
    """Runs Python in a process of its own."""

    def start(script: str, /, *options: str, **environment: str) -> Result:
        file = tmp_path / "script.py"
        file.write_text(script)
        merged = {"PATH": os.environ["PATH"], **sandbox.environment, **environment}
        done = subprocess.run(
            [sys.executable, *options, str(file)],
            env={name: value for name, value in merged.items() if value},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return start


def printed(result: Result) -> Any:
    """What a script that ended well, without a word to standard error, printed as JSON."""
    assert (result.code, result.err) == (0, "")
    return json.loads(result.out)


class TestScripts:
    """Functions in a plain script, with neither engine nor SDK."""

    def test_the_environment_is_enough(self, run: RunScript, sandbox: Sandbox) -> None:
        """Typed results, sorted by ID; the SDK isn't even loaded."""
        found = printed(
            run(
                SCRIPT
                + f"""
everything, crm = get_connections(), get_connections(provider="salesforce")
lumen = get_connections(group_ref="lumen", consumer_ref="lumen-priya", project="proj_quickstart", details="never")
by_id, by_filter = get_connection({KOYO!r}), get_connection(provider="slack", group_ref="koyo")
projects = get_projects()
print(json.dumps({{
    "ids": [[connection.id for connection in found] for found in (everything, crm, lumen)],
    "types": sorted({{type(one).__name__ for one in [*everything, *crm, by_id, by_filter, *projects]}}),
    "one": [by_id.group.name, by_filter.customer, by_id.scopes, by_id == by_filter],
    "projects": [(project.id, project.name) for project in projects],
    "loaded": "pulumi" in sys.modules,
}}))
"""
            )
        )
        assert found == {
            "ids": [
                sorted(connection["id"] for connection in sandbox.connections),
                SALESFORCE,
                ["conn_lumen_gong", "conn_lumen_salesforce"],
            ],
            "types": ["Connection", "Project"],
            "one": ["光陽リテール株式会社"] * 2 + [["channels:read", "chat:write", "users:read"], True],
            "projects": [["proj_quickstart", "quickstart"]],
            "loaded": False,
        }

    def test_settings_name_other_places(self, run: RunScript, sandbox: Sandbox) -> None:
        """A key, a project and a root that the ordinary variables don't have; the whole environment isn't needed."""
        with Sandbox(projects=two_projects(), api_key="KEY-EU") as other:
            script = f"""
eu = ampersand.Settings(api_key_env="AMP_API_KEY_EU", project="second", api_url={other.url!r}, timeout=30)
print(json.dumps([
    [connection.id for connection in get_connections(settings=eu)],
    get_connection("a", project="first", settings=eu).provider,
    [project.name for project in get_projects(settings=eu)],
    [project.name for project in get_projects()],
]))
"""
            found = printed(run(SCRIPT + script, AMP_API_KEY_EU="KEY-EU"))
            assert found == [["d"], "hubspot", ["first", "second"], ["quickstart"]]
            without = "print(json.dumps(get_connections(settings=ampersand.Settings(api_key_env='AMP_API_KEY_EU'))))"
            nothing = {"AMP_API_KEY": "", "AMP_API_URL": other.url, "AMP_PROJECT": "second", "AMP_API_KEY_EU": "KEY-EU"}
            assert [connection["id"] for connection in printed(run(SCRIPT + without, **nothing))] == ["d"]
        assert sandbox.counts == {"projects": 1}

    def test_each_call_asks_anew(self, run: RunScript, sandbox: Sandbox) -> None:
        """No run ends in a script, so nothing is kept; what changed meanwhile is seen."""
        script = f"""
import urllib.request

before = get_connections(group_ref="koyo")[0].provider_workspace_ref
url = os.environ["AMP_API_URL"] + "/_sandbox/connections/{KOYO}"
body = json.dumps({{"providerWorkspaceRef": "moved"}}).encode()
urllib.request.urlopen(urllib.request.Request(url, data=body, method="PATCH")).close()
after = get_connections(group_ref="koyo")[0].provider_workspace_ref
get_projects(), get_projects()
get_connection({KOYO!r}), get_connection({KOYO!r})
print(json.dumps([before, after]))
"""
        assert printed(run(SCRIPT + script)) == ["T04KOYO0001", "moved"]
        assert sandbox.counts == {"list": 2, "projects": 2, "one": 2}

    def test_it_leaves_nothing_behind(self, run: RunScript) -> None:
        """A script that calls often piles up neither sockets nor log filters."""
        script = """
import gc
import logging

def filters():
    return [len(logging.getLogger(name).filters) for name in ("httpx", "httpcore.http11", "httpcore.proxy")]

for _ in range(3):
    get_connections()
get_projects()
gc.collect()
print(json.dumps(filters()))
"""
        assert printed(run(SCRIPT + script, "-W", "always::ResourceWarning")) == [0, 0, 0]

    def test_what_goes_wrong_is_one_sentence(self, run: RunScript, sandbox: Sandbox, closed_port: str) -> None:
        """Each error says what, where and how to mend it, and is of the class that fits."""
        script = f"""
wrong = ampersand.Settings(api_key_env="WRONG_KEY")
unset = ampersand.Settings(api_key_env="NO_SUCH_KEY")
down = ampersand.Settings(api_url={closed_port!r}, timeout=0.3)
print(json.dumps({{
    "wrong-key": attempt(lambda: get_connections(settings=wrong)),
    "no-key": attempt(lambda: get_projects(settings=unset)),
    "outage": attempt(lambda: get_connections(settings=down)),
    "no-project": attempt(lambda: get_connections(project="elsewhere")),
    "missing": attempt(lambda: get_connection("missing")),
    "none": attempt(lambda: get_connection(group_ref="nobody")),
    "several": attempt(lambda: get_connection(provider="salesforce")),
    "contradiction": attempt(lambda: get_connection({KOYO!r}, provider="gong")),
    "type": attempt(lambda: get_connections(provider=["slack"])),
    "empty": attempt(lambda: get_connections(group_ref="")),
    "details": attempt(lambda: get_connections(details="allways")),
    "refresh": attempt(lambda: get_connections(refresh="force")),
    "keyword": attempt(lambda: get_connections(groupRef="x")),
    "other-keyword": attempt(lambda: get_projects(qqq="x")),
    "settings": attempt(lambda: get_connections(settings="key")),
}}))
"""
        found = printed(run(SCRIPT + script, WRONG_KEY="wrong"))
        project = f'reading connections of project "quickstart" at {sandbox.url}: '
        several = ", ".join(
            f"{name} (salesforce, {customer})"
            for name, customer in zip(SALESFORCE, ("Brightwater Logistics", "Lumen Clinics"), strict=True)
        )
        takes = "project, provider, group_ref, consumer_ref, details, refresh, settings"
        for name, (kind, start) in {
            "wrong-key": (
                "AuthenticationError",
                f"{project}401 The API key is not valid. Send a valid API key in the header X-Api-Key. Set WRONG_KEY (",
            ),
            "no-key": ("SettingsError", "no API key; set NO_SUCH_KEY"),
            "outage": (
                "TransportError",
                f'reading connections of project "quickstart" at {closed_port}: ',
            ),
            "no-project": (
                "NotFoundError",
                f'reading connections of project "elsewhere" at {sandbox.url}: 404 projectIdOrName: ',
            ),
            "missing": (
                "NotFoundError",
                f'reading connection "missing" of project "quickstart" at {sandbox.url}: 404 connectionId: ',
            ),
            "none": ("AmpersandError", f"expected one connection, found none; {CHANGE}"),
            "several": ("AmpersandError", f"expected one connection, found 2: {several}; {CHANGE}"),
            "contradiction": ("AmpersandError", f"expected one connection, found none; {CHANGE}"),
            "type": ("SettingsError", 'provider must be text, for example provider="…"'),
            "empty": ("SettingsError", "group_ref is empty; leave it out to filter by nothing"),
            "details": ("SettingsError", 'details must be auto, always or never (did you mean "always"?)'),
            "refresh": ("SettingsError", 'refresh must be "ifExpired", or left out'),
            "keyword": (
                "SettingsError",
                f'get_connections has no argument "groupRef" (did you mean "group_ref"?); it takes {takes}',
            ),
            "other-keyword": ("SettingsError", 'get_projects has no argument "qqq"; it takes settings'),
            "settings": ("SettingsError", "settings must be a Settings object"),
        }.items():
            assert found[name][0] == kind, name
            assert found[name][1].startswith(start), name
            assert "\n" not in found[name][1], name
            if kind in {"SettingsError", "AmpersandError"}:
                assert found[name][1] == start, name
        assert found["outage"][1].endswith("; check the network, proxy and ampersand:apiUrl (or AMP_API_URL)")

    @pytest.mark.parametrize(
        ("unset", "message"),
        [
            pytest.param(
                "AMP_API_KEY",
                "no API key; run: pulumi config set --secret ampersand:apiKey <key> (or set AMP_API_KEY)",
                id="key",
            ),
            pytest.param(
                "AMP_PROJECT",
                "no project; run: pulumi config set ampersand:project <id or name> "
                "(or pass project=…, or set AMP_PROJECT)",
                id="project",
            ),
        ],
    )
    def test_an_empty_environment_is_said(self, run: RunScript, sandbox: Sandbox, unset: str, message: str) -> None:
        """Uncaught, it ends the script, and the last line says how to set what lacks; nothing was asked."""
        failed = run(SCRIPT + "get_connections()\n", **{unset: ""})
        assert failed.code == 1
        assert failed.err.splitlines()[-1] == f"pulumi_ampersand.errors.SettingsError: {message}"
        assert sandbox.counts == {}

    def test_a_gap_is_a_warning(self, run: RunScript, sandbox: Sandbox) -> None:
        """What could not be had is said on standard error, or wherever the script's log goes."""
        sandbox.list_credentials = False
        sandbox.faults = ["500,retryable=false@one"]
        result = run(SCRIPT + "print(len(get_connections()))\n")
        assert (result.code, result.out) == (0, "7\n")
        (line,) = result.err.splitlines()
        assert line.startswith(
            "conn_aster_hubspot (hubspot, Aster & Quill GmbH) (and 5 more): its details could not be read: "
            f'reading connection "conn_aster_hubspot" of project "quickstart" at {sandbox.url}: 500 '
        )
        result = run(
            "import logging\nlogging.basicConfig(format='%(levelname)s %(name)s %(message)s')\n"
            + SCRIPT
            + "print(len(get_connections(provider='slack')))\n"
        )
        assert (result.code, result.out) == (0, "1\n")
        (line,) = result.err.splitlines()
        who = f"{KOYO} (slack, 光陽リテール株式会社)"
        assert line.startswith(f"WARNING pulumi_ampersand {who}: its details could not be read: ")

    def test_the_sdk_without_an_engine_is_a_script_too(self, run: RunScript, sandbox: Sandbox) -> None:
        """Errors stay what they are; an output form says nothing of its own that plain ones don't."""
        script = """
import pulumi

try:
    get_connection("missing")
except ampersand.NotFoundError as error:
    print(json.dumps([error.status, isinstance(error, pulumi.RunError), len(get_connections())]))
"""
        assert printed(run(SCRIPT + script)) == [404, True, 7]
        assert sandbox.counts == {"one": 1, "list": 1}


@pytest.mark.engine
class TestPrograms:
    """Functions in Pulumi programs."""

    VALUES = (
        IMPORTS
        + f"""
plain = ampersand.get_connections(provider="salesforce")
later = ampersand.get_connections_output(provider=pulumi.Output.from_input("salesforce"))
one = ampersand.get_connection({KOYO!r})
one_later = ampersand.get_connection_output(pulumi.Output.from_input({KOYO!r}))
projects, projects_later = ampersand.get_projects(), ampersand.get_projects_output()
ampersand.get_connections(provider="salesforce")
ampersand.get_connections_output(provider="salesforce")
lumen = ampersand.get_connection(provider="salesforce", group_ref="lumen")


pulumi.export("plain", plain)
pulumi.export("later", later)
pulumi.export("lumen", lumen.id)
pulumi.export("one", one)
pulumi.export("one_later", one_later)
pulumi.export("projects", projects)
pulumi.export("projects_later", projects_later)
pulumi.export("kinds", [
    later.apply(lambda found: [type(connection).__name__ for connection in found]),
    one_later.apply(lambda connection: type(connection.group).__name__),
    projects_later.apply(lambda found: type(found[0]).__name__),
    [type(value).__name__ for value in (plain[0], one, projects[0])],
])
pulumi.export("all", pulumi.Output.all(later, one_later).apply(
    lambda values: values == [plain, one]
))
pulumi.export("lifted", one_later.group.name)
pulumi.export("element", later[0].id)
pulumi.export("text", pulumi.Output.concat("crm/", one_later.id))
"""
    )

    def test_values_are_known_in_the_first_preview(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """Both forms give the same typed values by the stack's configuration alone, and share each request."""
        stack = make_stack(self.VALUES, AMP_API_KEY="", AMP_API_URL="", AMP_PROJECT="")
        stack.configure("--secret", "ampersand:apiKey", sandbox.api_key)
        stack.configure("ampersand:apiUrl", sandbox.url)
        stack.configure("ampersand:project", "quickstart")
        preview = stack.preview(check=True)
        assert "[unknown]" not in preview.out
        assert "Brightwater Logistics" in preview.out
        assert preview.diagnostics == []
        assert [(request.path.rpartition("/")[2], dict(request.query)) for request in sandbox.requests] == [
            ("connections", {"provider": "salesforce"}),
            (KOYO, {"includeRefreshToken": "true"}),
            ("projects", {}),
            ("connections", {"provider": "salesforce", "groupRef": "lumen"}),
        ]
        sandbox.clear_requests()
        stack.up(check=True)
        assert sandbox.counts == {"list": 2, "one": 1, "projects": 1}
        outputs = stack.outputs()
        assert [connection["id"] for connection in outputs["plain"]] == SALESFORCE
        assert outputs["plain"] == outputs["later"]
        assert outputs["one"] == outputs["one_later"]
        assert outputs["one"]["scopes"] == ["channels:read", "chat:write", "users:read"]
        assert outputs["projects"] == outputs["projects_later"]
        assert [project["name"] for project in outputs["projects"]] == ["quickstart"]
        assert outputs["kinds"] == [
            ["Connection", "Connection"],
            "Group",
            "Project",
            ["Connection", "Connection", "Project"],
        ]
        assert outputs["all"] is True
        assert outputs["lumen"] == "conn_lumen_salesforce"
        assert outputs["lifted"] == "光陽リテール株式会社"
        assert outputs["element"] == SALESFORCE[0]
        assert outputs["text"] == f"crm/{KOYO}"
        # They are no resources, and nothing more of them is in the state than what is exported.
        assert [resource["type"] for resource in stack.resources()] == ["pulumi:pulumi:Stack"]

    UNKNOWN = (
        IMPORTS
        + f"""
before = ampersand.get_connections(group_ref="lumen")
made = Make("made", "conn_lumen_gong")
found = ampersand.get_connections_output(provider=made.provider)
one = ampersand.get_connection_output(provider=made.provider, details="never")
secret = ampersand.get_connection_output({KOYO!r}, project=pulumi.Output.secret("quickstart"))


def after(*resources):
    return ampersand.get_connections_output(
        group_ref="lumen", opts=pulumi.InvokeOutputOptions(depends_on=list(resources))
    )


def workspace(found):
    return [connection.provider_workspace_ref for connection in found if connection.provider == "gong"]


pulumi.export("before", workspace(before))
pulumi.export("found", found.apply(lambda found: [connection.id for connection in found]))
pulumi.export("one", one.id)
pulumi.export("secret", secret.group.name)
pulumi.export("after", after(made).apply(workspace))
"""
    )

    def test_unknown_secret_and_dependent_arguments(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """Nothing is read by what isn't known; secrets stay secret; what depends on a resource is read after it."""
        stack = make_stack(self.UNKNOWN)
        (gong,) = [one for one in sandbox.connections if one["id"] == "conn_lumen_gong"]
        preview = stack.preview(check=True)
        shown = dict(re.findall(r"^    (\w+) *: (.*)$", preview.out, re.MULTILINE))
        assert {name: shown[name] for name in ("found", "one", "after", "secret")} == {
            "found": "[unknown]",
            "one": "[unknown]",
            "after": "[unknown]",
            "secret": "[secret]",
        }
        assert "光陽" not in preview.out
        assert [dict(request.query) for request in sandbox.requests if request.kind == "list"] == [
            {"groupRef": "lumen"}
        ]
        assert [request.path.rpartition("/")[2] for request in sandbox.requests if request.kind == "one"] == [KOYO]

        sandbox.clear_requests()
        stack.up(check=True)
        outputs = stack.outputs()
        assert outputs == {
            "before": [gong["providerWorkspaceRef"]],
            "found": [KOYO],
            "one": KOYO,
            "secret": "光陽リテール株式会社",
            "after": ["made"],
        }
        assert json.loads(stack.run("stack", "output", "--json", check=True).out)["secret"] == "[secret]"
        queries = [tuple(request.query.items()) for request in sandbox.requests if request.kind == "list"]
        lumen, slack = (("groupRef", "lumen"),), (("provider", "slack"),)
        assert sorted(queries) == [lumen, lumen, slack]
        # Once it exists, all is known in a preview, too.
        assert "[unknown]" not in stack.preview("--expect-no-changes", check=True).out

    COMPONENT = (
        IMPORTS
        + """
class Component(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("test:index:Component", name)
        Make("child", "conn_lumen_gong", pulumi.ResourceOptions(parent=self))


options = pulumi.InvokeOutputOptions(depends_on=Component("component"))
found = ampersand.get_connection_output("conn_lumen_gong", opts=options)
pulumi.export("workspace", found.provider_workspace_ref)
"""
    )

    def test_what_depends_on_a_component_is_read_after_its_children(self, make_stack: MakeStack) -> None:
        """A component is there when its children are, as everywhere in Pulumi."""
        stack = make_stack(self.COMPONENT)
        assert re.search(r"workspace *: \[unknown\]", stack.preview(check=True).out)
        stack.up(check=True)
        assert stack.outputs() == {"workspace": "made"}

    CAUGHT = (
        IMPORTS
        + f"""
def note(name, work):
    pulumi.export(name, attempt(work))


try:
    ampersand.get_connection("missing")
except ampersand.NotFoundError as error:
    pulumi.export("caught", [type(error).__name__, error.status, isinstance(error, ampersand.ApiError)])

note("none", lambda: ampersand.get_connection(group_ref="nobody"))
note("keyword", lambda: ampersand.get_connection_output(conection_id="x"))
note("token", lambda: ampersand.get_access_token({KOYO!r}, projects="x"))
note("opts", lambda: ampersand.get_connections_output(opts=pulumi.ResourceOptions()))
note("settings", lambda: ampersand.get_connections(settings={{"api_key": "x"}}))
note("key", lambda: ampersand.get_connections(settings=ampersand.Settings(api_key_config="ampersand:apiKeyEu")))
"""
    )

    def test_errors_can_be_caught(self, make_stack: MakeStack) -> None:
        """A program that expects one goes on; each has its class and its sentence."""
        stack = make_stack(self.CAUGHT)
        assert stack.up(check=True).diagnostics == []
        filters = "project, provider, group_ref, consumer_ref, details, refresh, settings"
        assert stack.outputs() == {
            "caught": ["NotFoundError", 404, True],
            "none": f"expected one connection, found none; {CHANGE}",
            "keyword": (
                'get_connection_output has no argument "conection_id" (did you mean "connection_id"?); '
                f"it takes connection_id, {filters}, opts"
            ),
            "token": (
                'get_access_token has no argument "projects" (did you mean "project"?); '
                "it takes connection_id, project, refresh, settings"
            ),
            "opts": "opts must be a pulumi.InvokeOutputOptions object",
            "settings": "settings must be a Settings object",
            "key": "no API key; run: pulumi config set --secret ampersand:apiKeyEu <key>",
        }

    @pytest.mark.parametrize(
        ("statement", "sentence"),
        [
            pytest.param(
                'ampersand.get_connection(group_ref="nobody")',
                f"expected one connection, found none; {CHANGE}",
                id="plain",
            ),
            pytest.param(
                'ampersand.get_connection_output("missing")',
                'reading connection "missing" of project "quickstart" at {url}: 404 connectionId: '
                "the project has no such connection. "
                "Check connectionId (request req_1)",
                id="output",
            ),
            pytest.param(
                'ampersand.get_connections_output(provider=pulumi.Output.from_input(""))',
                "provider is empty; leave it out to filter by nothing",
                id="argument",
            ),
            pytest.param(
                'ampersand.get_projects_output(opts=pulumi.InvokeOutputOptions(depends_on="made"))',
                "opts.depends_on must be a resource, or a list of resources",
                id="depends-on",
            ),
            pytest.param(
                'ampersand.get_connections(providr="slack")',
                'get_connections has no argument "providr" (did you mean "provider"?); '
                "it takes project, provider, group_ref, consumer_ref, details, refresh, settings",
                id="keyword",
            ),
            pytest.param(
                "ampersand.get_projects_output(settings=ampersand.Settings(api_key_env='UNSET_KEY'))",
                "no API key; set UNSET_KEY",
                id="key",
            ),
        ],
    )
    def test_an_error_ends_the_program_with_its_sentence(
        self, make_stack: MakeStack, sandbox: Sandbox, statement: str, sentence: str
    ) -> None:
        """Two lines, the first says all, and there is no traceback."""
        failed = make_stack(IMPORTS + statement + "\n").preview()
        assert failed.code != 0
        first, ending = failed.diagnostics
        request = re.compile(r" \(request [^)]*\)$")
        assert request.sub("", first) == request.sub("", f"error: {sentence.format(url=sandbox.url)}")
        assert ending == ENDING

    def test_a_misspelt_setting_is_named(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """A key of the stack's configuration that means nothing is an error with the nearest that does."""
        stack = make_stack(IMPORTS + "ampersand.get_projects()\n")
        stack.configure("ampersand:proyect", "quickstart")
        first, ending = stack.preview().diagnostics
        assert first == (
            'error: "ampersand:proyect" is no setting (did you mean "project"?); the settings are apiKey, apiUrl, '
            "caFile, concurrency, details, gate, project, proxy, timeout; run: pulumi config rm ampersand:proyect"
        )
        assert ending == ENDING
        stack.write(IMPORTS + 'pulumi.export("projects", ampersand.get_projects_output())\n')
        assert stack.preview().diagnostics == [first, ending]
        assert sandbox.requests == []

    GAPS = IMPORTS + "ampersand.get_connections_output()\nampersand.get_connections(provider='slack')\n"

    def test_a_gap_is_a_warning(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """What could not be had is said under the stack, and the program goes on."""
        sandbox.list_credentials = False
        sandbox.faults = ["500,retryable=false@one"]
        preview = make_stack(self.GAPS).preview(check=True)
        starts = [
            "warning: conn_aster_hubspot (hubspot, Aster & Quill GmbH) (and 5 more): its details could not be read: ",
            f"warning: {KOYO} (slack, 光陽リテール株式会社): its details could not be read: ",
        ]
        assert [any(line.startswith(start) for line in preview.diagnostics) for start in starts] == [True, True]
        assert len(preview.diagnostics) == 2

    TWO = (
        IMPORTS
        + """
url = pulumi.Config().require("url")
eu = ampersand.Settings(api_key_config="ampersand:apiKeyEu", api_url=url, project="second")
us = ampersand.Settings(api_key_env="AMP_API_KEY_US", api_url=url, project="first")


def ids(found):
    return [connection.id for connection in found]


pulumi.export("ids", [
    ids(ampersand.get_connections(settings=eu)),
    ids(ampersand.get_connections(settings=us)),
    ids(ampersand.get_connections(settings=us, project="second")),
    ampersand.get_connections_output(settings=eu).apply(ids),
    ampersand.Connections("eu", settings=eu).ids,
    ampersand.get_connection(provider="slack").id,
])
pulumi.export("projects", [project.name for project in ampersand.get_projects(settings=eu)])
"""
    )

    def test_two_projects_and_two_keys(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """One program reads several APIs, each by its own key, which lies in the configuration or the environment."""
        with Sandbox(projects=two_projects(), api_key="CANARY-KEY-TWO") as other:
            stack = make_stack(self.TWO, AMP_API_KEY_US="CANARY-KEY-TWO")
            stack.configure("url", other.url)
            stack.configure("--secret", "ampersand:apiKeyEu", "CANARY-KEY-TWO")
            up = stack.up(check=True)
            assert stack.outputs() == {
                "ids": [["d"], ["a", "b", "c"], ["d"], ["d"], ["d"], KOYO],
                "projects": ["first", "second"],
            }
            # The program's two keys don't share; the data source is read in a process of its own.
            assert other.counts == {"list": 4, "projects": 1}
            assert {request.key_ok for request in [*other.requests, *sandbox.requests]} == {True}
            assert sandbox.counts == {"list": 1}
            export = stack.run("stack", "export", check=True).out
            assert "CANARY-KEY-TWO" not in up.text + export

    OVERLAP = (
        IMPORTS
        + """
ampersand.get_connections_output(provider="slack")
ampersand.get_connections_output(provider="salesforce")
"""
    )

    def test_outputs_do_not_keep_each_other_waiting(self, make_stack: MakeStack, sandbox: Sandbox) -> None:
        """While one is on its way the program goes on, and asks for the next."""
        sandbox.faults = ["slow:1@list"]
        make_stack(self.OVERLAP).preview(check=True)
        assert sandbox.counts == {"list": 2}
        assert sandbox.most_at_once == 2


class TestUnitTests:
    """A user's unit tests, with the SDK's mocks instead of an engine."""

    MOCKED = """
import json
import os

import pulumi
import pulumi_ampersand as ampersand


class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        found = [{"id": "conn_mock", "provider": "slack", "healthy": False, "group": {"groupRef": "acme"}}]
        document = json.dumps({"v": 1, "connections": found})
        return f"{args.name}_id", {**args.inputs, "connections": document}

    def call(self, args):
        return {}


pulumi.runtime.set_mocks(Mocks(), project="test", stack="dev", preview=False)
pulumi.runtime.set_all_config({
    "ampersand:apiKey": os.environ["KEY"], "ampersand:apiUrl": os.environ["ROOT"], "ampersand:project": "quickstart"
})


@pulumi.runtime.test
def test_program():
    crm = ampersand.Connections("crm", provider="slack", expect=ampersand.Expect(min=1))
    ref = ampersand.ConnectionRef("ref", group_ref="acme")
    plain = ampersand.get_connections(provider="salesforce")
    later = ampersand.get_connections_output(provider=pulumi.Output.from_input("salesforce"))
    token = ampersand.get_access_token("conn_koyo_slack")
    ampersand.get_access_token("conn_lumen_gong")

    def check(found):
        return [[connection.id for connection in found], type(found[0]).__name__]

    return pulumi.Output.all(
        crm.connections.apply(check), ref.group_ref, ref.healthy,
        later.apply(lambda found: found == plain), [connection.id for connection in plain],
        token.apply(lambda token: token[:6]), token.is_secret(),
    ).apply(lambda values: print(json.dumps(values)))


test_program()
"""

    def test_functions_and_data_sources(self, run: RunScript, sandbox: Sandbox) -> None:
        """A mocked data source gives what the mock says; functions read by the configuration that the test sets."""
        environment = {"AMP_API_KEY": "", "AMP_API_URL": "", "AMP_PROJECT": ""}
        result = run(self.MOCKED, KEY=sandbox.api_key, ROOT=sandbox.url, **environment)
        assert printed(result) == [[["conn_mock"], "Connection"], "acme", False, True, SALESFORCE, "CANARY", True]
        assert sandbox.counts == {"list": 1, "one": 1}


@pytest.mark.engine
class TestAutomation:
    """A program of the Automation API, run several times in one process."""

    SCRIPT = f"""
import json
import sys

import pulumi
from pulumi import automation

import pulumi_ampersand as ampersand


def program():
    plain, later = ampersand.get_connection({KOYO!r}), ampersand.get_connection_output({KOYO!r})
    pulumi.export("plain", plain.provider_workspace_ref)
    pulumi.export("later", later.provider_workspace_ref)
    pulumi.export("ids", ampersand.Connections("crm", provider="salesforce").ids)


stack = automation.create_or_select_stack("dev", project_name="inline", program=program)
stack.set_config("ampersand:project", automation.ConfigValue("quickstart"))
found = [{{name: output.value for name, output in stack.up().outputs.items()}}]

import os
import urllib.request

url = os.environ["AMP_API_URL"] + "/_sandbox/connections/{KOYO}"
body = json.dumps({{"providerWorkspaceRef": "moved"}}).encode()
urllib.request.urlopen(urllib.request.Request(url, data=body, method="PATCH")).close()

found.append({{name: output.value for name, output in stack.up().outputs.items()}})
stack.destroy()
print(json.dumps(found))
"""

    def test_each_run_asks_anew(self, run: RunScript, sandbox: Sandbox, engine: Path, tmp_path: Path) -> None:
        """What changed between two runs is seen by the second; within a run, a request is shared."""
        state = tmp_path / "state"
        state.mkdir()
        environment = clean_environment(engine) | {
            "PULUMI_HOME": str(tmp_path / "home"),
            "PULUMI_BACKEND_URL": state.as_uri(),
            "PULUMI_PYTHON_CMD": sys.executable,
            "TMPDIR": str(tmp_path),
        }
        first, second = printed(run(self.SCRIPT, **environment))
        assert first == {"plain": "T04KOYO0001", "later": "T04KOYO0001", "ids": SALESFORCE}
        assert second == {"plain": "moved", "later": "moved", "ids": SALESFORCE}
        # Each up runs its program once; a preview would be another run.
        assert sandbox.counts == {"one": 2, "list": 2}
