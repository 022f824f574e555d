"""Both data sources among the other resources of a program, and of other stacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import MakeStack
from programs import IMPORTS, RECORD, held
from pulumi_ampersand.sandbox import Sandbox

pytestmark = pytest.mark.engine

KOYO = "光陽リテール株式会社"
NOT_YET = "its connections were not evaluated: a filter isn't known until the update, which judges them then"


ONBOARDING = (
    IMPORTS
    + """
import os
from urllib.request import Request, urlopen
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Onboarder(ResourceProvider):
    def create(self, props):
        with open("connections.json", "rb") as file:
            urlopen(Request(os.environ["AMP_API_URL"] + "/_sandbox/connections", file.read(), method="PUT"))
        return CreateResult("onboarded", {"group": "new"})


class Onboarding(Resource):
    group: pulumi.Output[str]

    def __init__(self, name, opts):
        super().__init__(Onboarder(), name, {"group": None}, opts)


"""
)
"""A resource whose creation makes the API have the connections in a file; it gives the new customer's group."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with connections that break no rule."""
    with Sandbox("healthy") as running:
        yield running


def test_unknown_arguments(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Nothing is read before an ID is known, and the pack says so; the update reads, judges and stops there."""
    stack = make_stack(
        IMPORTS
        + RECORD
        + """
first = Record("first", "")
crm = ampersand.ConnectionRef("crm", connection_id=first.out.apply(lambda name: f"conn_koyo_{name}"))
Record("after", crm.connection)
pulumi.export("name", crm.group_name)
pulumi.export("scopes", crm.scopes)
"""
    )
    sandbox.update("conn_koyo_slack", status="bad_credentials")
    preview = stack.preview(*stack.pack(), check=True)
    assert preview.violations == [("advisory", "verifiable-connections", "crm", NOT_YET)]
    assert "name  : [unknown]" in preview.out
    assert "scopes: [unknown]" in preview.out
    assert sandbox.requests == []

    update = stack.up(*stack.pack())
    assert update.code != 0
    assert [violation[:3] for violation in update.violations] == [("mandatory", "no-bad-credentials", "crm")]
    assert sandbox.counts == {"one": 1}
    assert held(stack).keys() & {"first", "crm", "after"} == {"first"}
    assert not (stack.folder / "after.json").exists()

    sandbox.reset()
    stack.up(*stack.pack(), check=True)
    assert stack.outputs()["name"] == KOYO
    assert json.loads((stack.folder / "after.json").read_text())["id"] == "conn_koyo_slack"


def test_secret_arguments(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Secret arguments stay ciphertext in the state and unseen in previews; what was read is plain."""
    stack = make_stack(
        IMPORTS
        + """
config = pulumi.Config()
by_id = ampersand.ConnectionRef("by-id", connection_id=config.require_secret("id"))
by_filter = ampersand.ConnectionRef("by-filter", group_ref=pulumi.Output.secret("koyo"), provider="slack")
pulumi.export("name", by_id.group_name)
pulumi.export("id", by_filter.connection_id)
"""
    )
    stack.configure("--secret", "id", "conn_koyo_slack")
    shown = stack.preview("--diff", check=True).out
    assert "connectionId: [secret]" in shown
    assert "groupRef    : [secret]" in shown
    stack.up(check=True)
    assert stack.outputs() == {"name": KOYO, "id": "conn_koyo_slack"}

    def is_kept() -> None:
        found = held(stack)
        for name, secret in (("by-id", "connectionId"), ("by-filter", "groupRef")):
            for side in ("inputs", "outputs"):
                assert "ciphertext" in found[name][side][secret]
                assert '"id":"conn_koyo_slack"' in found[name][side]["connections"]

    is_kept()
    stack.refresh(check=True)
    is_kept()
    assert stack.preview("--expect-no-changes", *stack.pack(), check=True).violations == []
    assert {tuple(request.query.items()) for request in sandbox.requests if request.kind == "list"} == {
        (("provider", "slack"), ("groupRef", "koyo"))
    }


def test_depends_on(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """What depends on the resource that makes a connection sees it in the same update, whatever was read before."""
    stack = make_stack(
        ONBOARDING
        + """
before = ampersand.Connections("before")
onboarding = Onboarding("onboarding", pulumi.ResourceOptions(depends_on=[before]))
later = pulumi.ResourceOptions(depends_on=[onboarding])
after = ampersand.Connections("after", opts=later)
by_id = ampersand.ConnectionRef("by-id", connection_id=onboarding.group.apply(lambda name: "conn_" + name), opts=later)
by_filter = ampersand.ConnectionRef("by-filter", group_ref=onboarding.group, opts=later)
pulumi.export("before", before.ids)
pulumi.export("after", after.ids)
pulumi.export("by_id", by_id.connection_id)
pulumi.export("by_filter", by_filter.connection_id)
"""
    )
    known = sorted(connection["id"] for connection in sandbox.connections)
    new = {**sandbox.connections[0], "id": "conn_new", "group": {"groupRef": "new"}}
    (stack.folder / "connections.json").write_text(json.dumps([*sandbox.connections, new]))
    preview = stack.preview(check=True)
    assert "by_id    : [unknown]" in preview.out
    assert "conn_new" not in preview.out

    stack.up(check=True)
    assert stack.outputs() == {
        "before": known,
        "after": sorted([*known, "conn_new"]),
        "by_id": "conn_new",
        "by_filter": "conn_new",
    }
    # Now the first one sees it, too, and what reads anew is no change for it.
    assert "~ 1 updated" in stack.up(check=True).out
    stack.preview("--expect-no-changes", check=True)


def test_dependence_by_an_argument(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """An argument from the resource that makes a connection is a dependence like depends_on."""
    stack = make_stack(
        ONBOARDING
        + """
before = ampersand.Connections("before")
onboarding = Onboarding("onboarding", pulumi.ResourceOptions(depends_on=[before]))
pulumi.export("ids", ampersand.Connections("after", group_ref=onboarding.group).ids)
"""
    )
    new = {**sandbox.connections[0], "id": "conn_new", "group": {"groupRef": "new"}}
    (stack.folder / "connections.json").write_text(json.dumps([*sandbox.connections, new]))
    stack.up(check=True)
    assert stack.outputs()["ids"] == ["conn_new"]


COMPONENT = (
    IMPORTS
    + """
class Customer(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("example:index:Customer", name)
        inside = pulumi.ResourceOptions(parent=self)
        self.all = ampersand.Connections("all", group_ref=name, opts=inside)
        self.chat = ampersand.ConnectionRef("chat", group_ref=name, provider="slack", opts=inside)
        self.register_outputs({"chat": self.chat.connection_id})


customer = Customer("koyo")
pulumi.export("ids", customer.all.ids)
pulumi.export("chat", customer.chat.provider_workspace_ref)
"""
)


def test_parents(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Inside a component they work and are judged as anywhere else, and move with it."""
    stack = make_stack(COMPONENT)
    stack.up(*stack.pack(), check=True)
    assert stack.outputs() == {"ids": ["conn_koyo_slack"], "chat": "T04KOYO0001"}
    found = held(stack)
    for name, kind in (("all", "Connections"), ("chat", "ConnectionRef")):
        assert found[name]["parent"] == found["koyo"]["urn"]
        inside = f"::example:index:Customer$pulumi-python:dynamic/ampersand:{kind}::{name}"
        assert found[name]["urn"].endswith(inside)
    sandbox.update("conn_koyo_slack", status="bad_credentials")
    judged = stack.preview(*stack.pack())
    assert {violation[:3] for violation in judged.violations} == {
        ("mandatory", "no-bad-credentials", "all"),
        ("mandatory", "no-bad-credentials", "chat"),
    }


def test_aliases(make_stack: MakeStack) -> None:
    """Renamed and moved to another parent with aliases, they stay the resources that they were."""
    program = (
        IMPORTS
        + """
every = ampersand.Connections("every")
chat = ampersand.ConnectionRef("chat", provider="slack")
"""
    )
    stack = make_stack(program)
    stack.up(check=True)
    before = held(stack)
    stack.write(
        IMPORTS
        + """
component = pulumi.ComponentResource("example:index:Customer", "customer")
stack = pulumi.ROOT_STACK_RESOURCE
every = ampersand.Connections("all", opts=pulumi.ResourceOptions(aliases=[pulumi.Alias(name="every")]))
chat = ampersand.ConnectionRef(
    "messages",
    provider="slack",
    opts=pulumi.ResourceOptions(parent=component, aliases=[pulumi.Alias(name="chat", parent=stack)]),
)
"""
    )
    changed = stack.up(check=True)
    assert "+ 1 created" in changed.out
    assert "3 unchanged" in changed.out
    after = held(stack)
    assert (after["all"]["id"], after["messages"]["id"]) == (before["every"]["id"], before["chat"]["id"])
    assert not after.keys() & {"every", "chat"}


def test_two_stacks_side_by_side(make_stack: MakeStack) -> None:
    """Stacks of two projects, and two of one project, deployed at the same time, don't disturb each other."""
    program = (
        IMPORTS
        + """
provider = pulumi.Config().get("provider")
pulumi.export("ids", ampersand.Connections("found", provider=provider).ids)
pulumi.export("id", ampersand.ConnectionRef("one", provider=provider).connection_id)
"""
    )
    one, other = make_stack(program, "one"), make_stack(program, "other")
    one.run("stack", "init", "prod", check=True)
    chosen = [(one, "dev", "slack"), (one, "prod", "google"), (other, "dev", "gong")]
    for stack, name, provider in chosen:
        stack.configure("--stack", name, "provider", provider)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda it: it[0].up("--stack", it[1], check=True), chosen))
    told = [
        json.loads(stack.run("stack", "output", "--stack", name, "--json", check=True).out) for stack, name, _ in chosen
    ]
    assert told == [{"ids": [name], "id": name} for name in ("conn_koyo_slack", "conn_meble_google", "conn_lumen_gong")]


def test_stack_reference(make_stack: MakeStack) -> None:
    """Another stack reads exported IDs and connections, and finds the connection by them, in its first preview, too."""
    source = make_stack(
        IMPORTS
        + """
crm = ampersand.Connections("crm", provider="salesforce")
pulumi.export("ids", crm.ids)
pulumi.export("connections", crm.connections)
pulumi.export("chat", ampersand.ConnectionRef("chat", provider="slack").connection)
""",
        "source",
    )
    source.up(check=True)
    reader = make_stack(
        IMPORTS
        + """
source = pulumi.StackReference("organization/source/dev")
ids, connections, chat = (source.get_output(name) for name in ("ids", "connections", "chat"))
pulumi.export("ids", ids)
pulumi.export("customer", connections[0]["group"]["groupName"])
pulumi.export("scopes", chat["scopes"])
pulumi.export("workspace", ampersand.ConnectionRef("crm", connection_id=ids[0]).provider_workspace_ref)
""",
        "reader",
        PULUMI_BACKEND_URL=source.environment["PULUMI_BACKEND_URL"],
    )
    assert "[unknown]" not in reader.preview(check=True).out
    reader.up(check=True)
    assert reader.outputs() == {
        "ids": ["conn_brightwater_salesforce", "conn_lumen_salesforce"],
        "customer": "Brightwater Logistics",
        "scopes": ["channels:read", "chat:write", "users:read"],
        "workspace": "brightwater",
    }


def test_left_out_by_target(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """A data source that isn't targeted isn't read; outputs of a new one are unknown, those of an old one as they were.

    What needs a new one can't be made: the engine says so.
    """
    stack = make_stack(
        IMPORTS
        + RECORD
        + """
every = ampersand.Connections("every")
chat = ampersand.ConnectionRef("chat", provider="slack")
Record("needs", chat.connection)
pulumi.export("ids", every.ids)
pulumi.export("workspace", chat.provider_workspace_ref)
"""
    )
    preview = stack.preview("--target", "**::every", check=True)
    assert "workspace: [unknown]" in preview.out
    assert [dict(request.query) for request in sandbox.requests] == [{}]
    stack.up("--target", "**::every", check=True)
    assert held(stack).keys() & {"every", "chat", "needs"} == {"every"}
    for failed in (stack.preview("--target", "**::needs"), stack.up("--target", "**::needs")):
        assert failed.code != 0
        (line,) = [line for line in failed.diagnostics if line != "error: preview failed"]
        assert "ConnectionRef::chat' which was was not specified in --target list" in line
    stack.up(check=True)

    sandbox.update("conn_koyo_slack", providerWorkspaceRef="T-NEW")
    sandbox.clear_requests()
    assert "~ 1 updated" in stack.up("--target", "**::every", check=True).out
    assert stack.outputs()["workspace"] == "T04KOYO0001"
    assert [dict(request.query) for request in sandbox.requests] == [{}]


def test_fifty_data_sources_share_one_list(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Fifty data sources over one project ask for its list once in each process, some of them filtering it."""
    stack = make_stack(
        IMPORTS
        + """
every = ampersand.Connections("every")
for number in range(25):
    ampersand.Connections(f"same-{number}")
# What comes after the list is filtered here instead of asked for.
for number in range(12):
    koyo = every.ids.apply(lambda _: "koyo")
    pulumi.export(f"ids-{number}", ampersand.Connections(f"part-{number}", group_ref=koyo).ids)
    chat = every.ids.apply(lambda ids: ids[3])
    pulumi.export(f"id-{number}", ampersand.ConnectionRef(f"one-{number}", connection_id=chat).connection_id)
"""
    )
    stack.preview(check=True)
    assert sandbox.counts == {"list": 1}
    sandbox.clear_requests()
    stack.up(check=True)
    assert sandbox.counts == {"list": 1}
    outputs = stack.outputs()
    assert {tuple(value) for name, value in outputs.items() if name.startswith("ids-")} == {("conn_koyo_slack",)}
    assert {value for name, value in outputs.items() if name.startswith("id-")} == {"conn_koyo_slack"}
    sandbox.clear_requests()
    stack.refresh(check=True)
    # A refresh begins with all at once: those that filter may ask before the whole list is there.
    assert sandbox.counts["list"] <= 2
    assert sandbox.counts["one"] <= 1
