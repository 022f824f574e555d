"""A single connection in the real engine: every output of it, and how it is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from conftest import MakeStack
from programs import IMPORTS, failure
from pulumi_ampersand.sandbox import Project, Sandbox
from pulumi_ampersand_policies.testing import connection as sent

pytestmark = pytest.mark.engine

OUTPUTS = (
    "connection_id",
    "provider",
    "project",
    "project_id",
    "healthy",
    "auth_scheme",
    "scopes",
    "group_ref",
    "group_name",
    "consumer_ref",
    "consumer_name",
    "provider_workspace_ref",
    "provider_consumer_ref",
    "provider_app_id",
    "provider_metadata",
    "create_time",
    "connection",
)
"""Every output; a test compares them with the class."""

RICH = sent(
    "conn_rich",
    group={"groupRef": "acme", "groupName": "Acme Ltd", "projectId": "proj_1"},
    providerWorkspaceRef="acme-prod",
    providerConsumerRef="user-7",
    providerApp={"id": "app_1", "clientId": "client-1", "scopes": [["api", "refresh_token"]]},
    providerMetadata={
        "region": {"value": "eu-1", "source": "input", "displayName": "Region"},
        "odd": {"source": "token"},
    },
    createTime="2026-01-02T03:04:05.678Z",
    oauth2AuthorizationCode={
        "accessToken": {"token": "CANARY-access", "issuedAt": "2026-01-02T03:04:05Z"},
        "refreshToken": {"token": "CANARY-refresh", "issuedAt": "2026-01-02T03:04:05Z"},
        "scopes": ["refresh_token api"],
    },
)
BARE = {"id": "conn_bare", "provider": "gong", "status": "created", "group": None, "consumer": {"consumerName": None}}

BROKEN = sent("conn_broken", provider="slack", group={"groupRef": "globex"}, status="bad_credentials")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with one connection that has every field, one that has the indispensable ones, and a broken one."""
    project = Project(id="proj_1", name="first", connections=[RICH, BARE, BROKEN])
    with Sandbox("healthy", projects=[project]) as running:
        yield running


def exporting(arguments: str) -> str:
    """A program that exports every output of a connection as one mapping, which keeps those that are None."""
    fields = ", ".join(f'"{name}": crm.{name}' for name in OUTPUTS)
    return IMPORTS + f'crm = ampersand.ConnectionRef("crm", {arguments})\npulumi.export("all", {{{fields}}})\n'


def test_these_are_all_outputs() -> None:
    """The tests here cover every property of the class."""
    from pulumi_ampersand import ConnectionRef

    assert {name for name, value in vars(ConnectionRef).items() if isinstance(value, property)} == set(OUTPUTS)


def test_every_output_of_a_rich_connection(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Chosen by filters, each output has its field's value, known in the first preview; text can be put together."""
    program = exporting('provider="salesforce", group_ref="acme"') + (
        'pulumi.export("path", pulumi.Output.concat("crm/", crm.group_ref, "/", crm.connection_id))\n'
        'pulumi.export("lifted", crm.connection.group.name)\n'
        'pulumi.export("region", crm.provider_metadata["region"])\n'
    )
    stack = make_stack(program)
    preview = stack.preview(check=True)
    assert "[unknown]" not in preview.out
    assert [dict(request.query) for request in sandbox.requests] == [{"provider": "salesforce", "groupRef": "acme"}]
    stack.up(check=True)
    outputs = stack.outputs()
    whole = outputs["all"].pop("connection")
    assert outputs == {
        "all": {
            "connection_id": "conn_rich",
            "provider": "salesforce",
            "project": "first",
            "project_id": "proj_1",
            "healthy": True,
            "auth_scheme": "oauth2/authorizationCode",
            "scopes": ["api", "refresh_token"],
            "group_ref": "acme",
            "group_name": "Acme Ltd",
            "consumer_ref": "acme-jo",
            "consumer_name": "Jo",
            "provider_workspace_ref": "acme-prod",
            "provider_consumer_ref": "user-7",
            "provider_app_id": "app_1",
            "provider_metadata": {"odd": None, "region": "eu-1"},
            "create_time": "2026-01-02T03:04:05.678Z",
        },
        "path": "crm/acme/conn_rich",
        "lifted": "Acme Ltd",
        "region": "eu-1",
    }
    assert whole == {
        "id": "conn_rich",
        "projectId": "proj_1",
        "provider": "salesforce",
        "healthy": True,
        "authScheme": "oauth2/authorizationCode",
        "scopes": ["api", "refresh_token"],
        "group": RICH["group"],
        "consumer": RICH["consumer"],
        "providerWorkspaceRef": "acme-prod",
        "providerConsumerRef": "user-7",
        "providerApp": {"id": "app_1", "clientId": "client-1", "scopes": ["api", "refresh_token"]},
        "providerMetadata": RICH["providerMetadata"],
        "createTime": "2026-01-02T03:04:05.678Z",
    }


def test_every_output_of_a_bare_connection(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """Chosen by its ID, what the API didn't say is None, and metadata that isn't there is an empty mapping."""
    stack = make_stack(exporting('connection_id="conn_bare"'))
    stack.up(check=True)
    expected: dict[str, Any] = dict.fromkeys(OUTPUTS)
    expected |= {
        "connection_id": "conn_bare",
        "provider": "gong",
        "project": "first",
        "healthy": True,
        "provider_metadata": {},
    }
    all_outputs = stack.outputs()["all"]
    whole = all_outputs.pop("connection")
    del expected["connection"]
    assert all_outputs == expected
    assert whole.items() >= {"id": "conn_bare", "provider": "gong", "healthy": True}.items()
    assert whole.keys() <= {"id", "provider", "healthy", "consumer"}
    assert sandbox.counts == {"one": 1}


ADVICE = "; change project, connection_id, provider, group_ref or consumer_ref"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param('provider="hubspot"', f"expected one connection, found none{ADVICE}", id="none"),
        pytest.param(
            "",
            "expected one connection, found 3: conn_bare (gong), conn_broken (slack, globex), "
            f"conn_rich (salesforce, Acme Ltd){ADVICE}",
            id="several",
        ),
        pytest.param(
            'connection_id="conn_bare", provider="slack"',
            f"expected one connection, found none{ADVICE}",
            id="id-and-another-filter",
        ),
    ],
)
def test_not_one(make_stack: MakeStack, arguments: str, sentence: str) -> None:
    """None or several fail a preview with a sentence that says what was found; so does an ID that filters exclude."""
    failed = make_stack(IMPORTS + f'ampersand.ConnectionRef("crm", {arguments})\n').preview()
    assert failed.code != 0
    assert failed.diagnostics == [failure("ConnectionRef", "crm", sentence)]


def test_an_id_and_filters_that_match(make_stack: MakeStack) -> None:
    """Filters that a connection matches besides its ID change nothing."""
    program = IMPORTS + (
        'crm = ampersand.ConnectionRef("crm", connection_id="conn_rich", provider="salesforce", '
        'group_ref="acme", consumer_ref="acme-jo", project="proj_1")\n'
        'pulumi.export("id", crm.connection_id)\n'
    )
    assert 'id: "conn_rich"' in make_stack(program).preview(check=True).out


def test_the_pack_judges_it(make_stack: MakeStack) -> None:
    """The pack judges it like a list of one, and takes it for the data source that a stack may be required to have."""
    stack = make_stack(IMPORTS + 'ampersand.ConnectionRef("chat", connection_id="conn_broken")\n')
    required = {"readable-connections": {"require": True}, "verifiable-connections": "disabled"}
    judged = stack.preview(*stack.pack(required))
    assert judged.code != 0
    (violation,) = judged.violations
    assert violation[:3] == ("mandatory", "no-bad-credentials", "chat")
    assert violation.message.startswith("conn_broken (slack, globex): ")

    stack.write(IMPORTS + 'ampersand.ConnectionRef("crm", connection_id="conn_rich")\n')
    assert stack.preview(*stack.pack(required), check=True).violations == []
    stack.write(IMPORTS)
    missing = stack.preview(*stack.pack(required))
    assert [violation[:2] for violation in missing.violations] == [("mandatory", "readable-connections")]
