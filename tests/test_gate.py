"""Gates: what a stack's configuration may say, and reading what a gate asks for from a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from builders import two_projects
from pulumi_ampersand.client import Client
from pulumi_ampersand.exchange import Limits
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand.settings import Access
from pulumi_ampersand_policies.gate import Gate, GateError, chosen, read, stack_gate, trusted
from pulumi_ampersand_policies.testing import connection as sent

KEYS = "it takes projects, provider, groupRef, consumerRef, connectionIds, details"
MUST_BE = (
    "ampersand:gate must be true, false or an object; run: pulumi config set --path ampersand:gate.provider <provider>"
)


class TestStackGate:
    """The gate in a stack's configuration, which the engine hands over as text."""

    def test_none_is_no_gate(self) -> None:
        """A stack whose configuration says nothing of a gate has none, whatever else is configured."""
        assert stack_gate({"ampersand:project": "a", "other:gate": "true"}) is None

    @pytest.mark.parametrize(
        ("text", "gate"),
        [
            pytest.param("true", Gate(), id="true"),
            pytest.param("false", None, id="false"),
            pytest.param("{}", Gate(), id="empty"),
            pytest.param('{"provider":"salesforce"}', Gate(provider="salesforce"), id="provider"),
            pytest.param(
                '{"projects":["a","b"],"groupRef":"g","consumerRef":"c","connectionIds":["1"]}',
                Gate(projects=["a", "b"], groupRef="g", consumerRef="c", connectionIds=["1"]),
                id="all",
            ),
            pytest.param('{"groupRef":123}', Gate(groupRef="123"), id="number"),
            pytest.param('{"groupRef":123456789012345678901}', Gate(groupRef="123456789012345678901"), id="long"),
            pytest.param('{"groupRef":123.0}', Gate(groupRef="123"), id="float"),
            pytest.param('{"groupRef":1.5}', Gate(groupRef="1.5"), id="fraction"),
            pytest.param('{"groupRef":true}', Gate(groupRef="true"), id="true-as-text"),
            pytest.param('{"groupRef":"0123"}', Gate(groupRef="0123"), id="text-stays"),
            pytest.param('{"projects":"a"}', Gate(projects=["a"]), id="one-project"),
            pytest.param('{"projects":123,"connectionIds":7}', Gate(projects=["123"], connectionIds=["7"]), id="one"),
            pytest.param('{"connectionIds":[7,"b",false]}', Gate(connectionIds=["7", "b", "false"]), id="mixed"),
            pytest.param('{"provider":null}', Gate(), id="null-field"),
            pytest.param('{"details":"never"}', Gate(details="never"), id="details"),
        ],
    )
    def test_forms(self, text: str, gate: Gate | None) -> None:
        """A gate is on, off or an object; ``config set --path`` makes numbers of names, which are text all the same."""
        assert stack_gate({"ampersand:gate": text}) == gate

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            pytest.param("yes", MUST_BE, id="word"),
            pytest.param("", MUST_BE, id="empty-text"),
            pytest.param("null", MUST_BE, id="null"),
            pytest.param("5", MUST_BE, id="number"),
            pytest.param('"salesforce"', MUST_BE, id="text"),
            pytest.param("[]", MUST_BE, id="list"),
            pytest.param('{"provider":', MUST_BE, id="half"),
            pytest.param("[" * 100_000, MUST_BE, id="bottomless"),
            pytest.param(
                '{"provder":"salesforce"}',
                f'ampersand:gate: unknown key "provder" (did you mean "provider"?); {KEYS}',
                id="nearest",
            ),
            pytest.param('{"xyz":1}', f'ampersand:gate: unknown key "xyz"; {KEYS}', id="unknown"),
            pytest.param(
                '{"provder":1,"grouRef":1}',
                f'ampersand:gate: unknown key "provder" (did you mean "provider"?); {KEYS}; '
                f'ampersand:gate: unknown key "grouRef" (did you mean "groupRef"?); {KEYS}',
                id="both",
            ),
            pytest.param(
                '{"provider":["a"]}', 'ampersand:gate: "provider": input should be a valid string', id="list-for-text"
            ),
            pytest.param(
                '{"provider":""}', 'ampersand:gate: "provider": string should have at least 1 character', id="empty"
            ),
            pytest.param(
                '{"connectionIds":["a",""]}',
                'ampersand:gate: "connectionIds.1": string should have at least 1 character',
                id="empty-id",
            ),
            pytest.param(
                '{"connectionIds":[]}',
                'ampersand:gate: "connectionIds": list should have at least 1 item after validation, not 0',
                id="no-ids",
            ),
            pytest.param(
                '{"details":"s3cret"}',
                "ampersand:gate: \"details\": input should be 'auto', 'always' or 'never'",
                id="details",
            ),
            pytest.param(
                '{"details":true}',
                "ampersand:gate: \"details\": input should be 'auto', 'always' or 'never'",
                id="details-on",
            ),
        ],
    )
    def test_errors(self, text: str, error: str) -> None:
        """A malformed gate is an error that names the key, what is allowed and the nearest valid key."""
        with pytest.raises(GateError) as caught:
            stack_gate({"ampersand:gate": text})
        assert str(caught.value) == error

    def test_errors_do_not_show_values(self) -> None:
        """A gate may be secret: what is wrong with it is said without what it holds."""
        with pytest.raises(GateError) as caught:
            stack_gate({"ampersand:gate": '{"groupRef":{"s3cret":"s3cret"},"connectionIds":[["s3cret"]]}'})
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("pack", "stack", "gate"),
    [
        (None, None, None),
        (None, "true", Gate()),
        (None, "false", None),
        (True, None, Gate()),
        (True, '{"provider":"a"}', Gate()),
        (False, '{"provider":"a"}', None),
        (Gate(provider="b"), '{"provider":"a"}', Gate(provider="b")),
        (Gate(provider="b"), "nonsense", Gate(provider="b")),
        (False, "nonsense", None),
    ],
)
def test_the_gate_of_the_pack_wins(pack: bool | Gate | None, stack: str | None, gate: Gate | None) -> None:
    """What the pack's configuration says of a gate counts, and then the stack's isn't even looked at."""
    assert chosen(pack, {} if stack is None else {"ampersand:gate": stack}) == gate


@pytest.mark.parametrize(
    ("pack", "key", "kept"),
    [
        pytest.param(True, "key", ["project"], id="pack"),
        pytest.param(Gate(), "key", ["project"], id="pack-without-filters"),
        pytest.param(Gate(provider="a"), "key", ["project"], id="pack-with-filters"),
        pytest.param(True, "", None, id="empty-key"),
        pytest.param(Gate(provider="a"), None, None, id="no-key"),
        pytest.param(None, "key", None, id="stack"),
        pytest.param(False, "key", None, id="off"),
    ],
)
def test_a_gate_of_the_pack_trusts_the_stack_with_the_project_alone(
    pack: bool | Gate | None, key: str | None, kept: list[str] | None
) -> None:
    """Where the environment has a key, the stack's configuration can't lead such a gate elsewhere."""
    names = ["apiKey", "apiUrl", "caFile", "details", "gate", "project", "proxy"]
    config = {**{f"ampersand:{name}": name for name in names}, "other:project": "x"}
    environ = {} if key is None else {"AMP_API_KEY": key}
    expected = config if kept is None else {f"ampersand:{name}": name for name in kept}
    assert trusted(pack, config, environ) == expected


Read = Callable[..., Inventory]


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    """Two projects with connections of their own."""
    with Sandbox("healthy", projects=two_projects(status="bad_credentials")) as running:
        yield running


@pytest.fixture
def read_gate(server: Sandbox) -> Read:
    """Reads a gate with the server's settings and without repeating what fails."""

    def impatient(access: Access) -> Client:
        return Client(access, limits=Limits(attempts=1))

    def read_gate(
        gate: Mapping[str, Any], config: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
    ) -> Inventory:
        asked = Gate.model_validate(gate)
        return read(asked, config or {}, server.environment if environ is None else environ, impatient)

    server.reset()
    return read_gate


def ids(inventory: Inventory) -> list[str]:
    """The IDs of what was read."""
    return [entry.connection.id for entry in inventory]


class TestRead:
    """Reading what a gate asks for."""

    @pytest.mark.parametrize(
        ("gate", "found"),
        [
            pytest.param({}, ["a", "b", "c"], id="project-of-the-stack"),
            pytest.param({"provider": "hubspot"}, ["a"], id="provider"),
            pytest.param({"groupRef": "globex"}, ["b"], id="group"),
            pytest.param({"consumerRef": "jim"}, ["c"], id="consumer"),
            pytest.param({"provider": "hubspot", "consumerRef": "jim"}, [], id="all-filters-must-match"),
            pytest.param({"projects": ["second"]}, ["d"], id="another-project"),
            pytest.param({"projects": ["proj_2"]}, ["d"], id="by-id"),
            pytest.param({"projects": ["second", "first"]}, ["a", "b", "c", "d"], id="several-projects"),
            pytest.param({"projects": ["first", "second"], "groupRef": "globex"}, ["b"], id="filters-for-each"),
            pytest.param({"connectionIds": ["c", "a"]}, ["a", "c"], id="ids"),
            pytest.param({"projects": ["first", "second"], "connectionIds": ["d"]}, ["d"], id="id-in-any-project"),
        ],
    )
    def test_what_is_asked_for_is_read(
        self, read_gate: Read, server: Sandbox, gate: dict[str, Any], found: list[str]
    ) -> None:
        """Projects, filters and IDs narrow what is judged; one request for each project."""
        inventory = read_gate(gate)
        assert ids(inventory) == found
        assert not inventory.unread
        assert server.counts == {"list": len(gate.get("projects", [""]))}

    @pytest.mark.parametrize(
        ("gate", "config", "asked"),
        [
            pytest.param({}, None, ["a", "b", "c"], id="auto-by-default"),
            pytest.param({"details": "never"}, None, [], id="never"),
            pytest.param({}, "never", [], id="as-the-stack-says"),
            pytest.param({"details": "always"}, "never", ["a", "b", "c"], id="the-gate-wins"),
            pytest.param({"provider": "hubspot"}, None, ["a"], id="filtered"),
            pytest.param({"connectionIds": ["c"]}, None, ["c"], id="one-of-them"),
            pytest.param({"connectionIds": ["c"], "details": "always"}, None, ["c"], id="always-one-of-them"),
        ],
    )
    def test_details_are_asked_for(
        self, read_gate: Read, server: Sandbox, gate: dict[str, Any], config: str | None, asked: list[str]
    ) -> None:
        """Of connections that the gate names or its filters find, and no others."""
        server.list_credentials = False
        inventory = read_gate(gate, {} if config is None else {"ampersand:details": config})
        ones = [request for request in server.requests if request.kind == "one"]
        assert sorted(request.path.rpartition("/")[2] for request in ones) == asked
        assert all(request.query == {"includeRefreshToken": "true"} for request in ones)
        assert [entry.connection.scopes for entry in inventory] == [["api"] if asked else None] * len(inventory)
        assert not inventory.unread

    def test_details_that_can_not_be_had_are_a_gap(self, read_gate: Read, server: Sandbox) -> None:
        """The connection is judged by what is known of it: one failing call hides neither it nor the others."""
        server.list_credentials = False
        server.faults = ["403,times=1@one"]
        inventory = read_gate({"connectionIds": ["b", "c"]})
        assert ids(inventory) == ["b", "c"]
        assert not inventory.unread
        (gap,) = [entry.observation.gaps["details"] for entry in inventory if entry.observation.gaps]
        assert "403 The sandbox was told to answer with 403" in gap

    def test_details_that_are_none_are_unread(self, read_gate: Read, server: Sandbox) -> None:
        """A stack's setting that makes no sense fails the gate."""
        inventory = read_gate({}, {"ampersand:details": "nver"})
        assert [reason for reason, _ in inventory.unread] == [
            'the gate could not be read: ampersand:details must be auto, always or never (did you mean "never"?)'
        ]
        assert not server.requests

    def test_a_project_named_twice_is_judged_once(self, read_gate: Read) -> None:
        """By ID and by name it is the same project, whose connections count once."""
        assert ids(read_gate({"projects": ["first", "proj_1", "first"]})) == ["a", "b", "c"]

    def test_filters_travel_to_the_api(self, read_gate: Read, server: Sandbox) -> None:
        """The API filters, so that a large project isn't read for one connection."""
        read_gate({"provider": "hubspot", "groupRef": "a b&c", "consumerRef": "é"})
        assert server.requests[0].query == {"provider": "hubspot", "groupRef": "a b&c", "consumerRef": "é"}

    def test_entries_know_their_project(self, read_gate: Read) -> None:
        """Connections of several projects can be told apart."""
        inventory = read_gate({"projects": ["first", "second"]})
        assert [entry.project for entry in inventory] == ["proj_1", "proj_1", "proj_1", "proj_2"]

    def test_stack_configuration_beats_the_environment(self, read_gate: Read, server: Sandbox) -> None:
        """Key, root and project come from the stack's configuration where it has them."""
        config = {
            "ampersand:apiKey": server.api_key,
            "ampersand:apiUrl": server.url,
            "ampersand:project": "second",
        }
        wrong = {"AMP_API_KEY": "wrong", "AMP_API_URL": "http://127.0.0.1:9", "AMP_PROJECT": "first"}
        assert ids(read_gate({}, config, wrong)) == ["d"]
        assert ids(read_gate({}, config, {})) == ["d"]

    def test_an_id_that_does_not_exist_is_missing(self, read_gate: Read) -> None:
        """A gate that names a connection which isn't there says so; the others are judged, and all could be read."""
        inventory = read_gate({"connectionIds": ["a", "nope", "d"], "projects": "first"})
        assert ids(inventory) == ["a"]
        assert (inventory.unread, inventory.missing) == ((), ("nope", "d"))

    def test_an_id_named_twice_is_missing_once(self, read_gate: Read) -> None:
        """As one that exists is judged once."""
        assert read_gate({"connectionIds": ["nope", "nope"]}).missing == ("nope",)

    def test_an_id_that_a_filter_excludes_is_missing(self, read_gate: Read) -> None:
        """Filters and IDs that contradict each other don't pass in silence."""
        inventory = read_gate({"connectionIds": ["a"], "provider": "salesforce"})
        assert not len(inventory)
        assert (inventory.unread, inventory.missing) == ((), ("a",))

    def test_no_id_is_missing_without_any_named(self, read_gate: Read) -> None:
        """A gate without IDs asks for nothing in particular."""
        assert read_gate({"provider": "nothing"}).missing == ()

    def test_one_failing_project_does_not_hide_the_others(self, read_gate: Read) -> None:
        """What could be read is judged, and what failed is named with its remedy."""
        inventory = read_gate({"projects": ["gone", "second"]})
        assert ids(inventory) == ["d"]
        ((reason, _),) = inventory.unread
        assert reason.startswith(
            'the gate could not be read: reading connections of project "gone" at http://127.0.0.1'
        )
        assert "404" in reason

    def test_an_id_is_not_called_missing_where_a_project_could_not_be_read(self, read_gate: Read) -> None:
        """It may lie in the project that failed: one cause, one reason."""
        inventory = read_gate({"projects": ["gone", "second"], "connectionIds": ["d", "x"]})
        assert ids(inventory) == ["d"]
        assert (len(inventory.unread), inventory.missing) == (1, ())

    def test_a_wrong_key_is_unread(self, read_gate: Read, server: Sandbox) -> None:
        """The API's own words say what to do about a key that it doesn't know, and the key isn't shown."""
        ((reason, _),) = read_gate({}, {"ampersand:apiKey": "wr0ng-key"}).unread
        assert "401 The API key is not valid. Send a valid API key" in reason
        assert "wr0ng-key" not in reason
        server.faults = ["key-echo"]
        ((reason, _),) = read_gate({}).unread
        assert server.api_key not in reason

    @pytest.mark.parametrize(
        ("left_out", "mend"),
        [
            ("AMP_API_KEY", "no API key; run: pulumi config set --secret ampersand:apiKey <key> (or set AMP_API_KEY)"),
            ("AMP_PROJECT", "no project; run: pulumi config set ampersand:project <id or name>"),
        ],
    )
    def test_missing_settings_are_unread(self, read_gate: Read, server: Sandbox, left_out: str, mend: str) -> None:
        """Without a key or a project nothing is sent, and the reason has the command that sets it."""
        environ = {name: value for name, value in server.environment.items() if name != left_out}
        inventory = read_gate({}, environ=environ)
        assert not len(inventory)
        ((reason, _),) = inventory.unread
        assert mend in reason
        assert not server.requests

    def test_a_wrong_root_is_unread(self, read_gate: Read) -> None:
        """A root that is no URL fails the gate, too."""
        ((reason, _),) = read_gate({}, {"ampersand:apiUrl": "nonsense"}).unread
        assert "ampersand:apiUrl (or AMP_API_URL) is no http or https URL" in reason

    def test_contradicting_entries_are_unread(self, read_gate: Read, server: Sandbox) -> None:
        """An answer that lists one ID twice, with different content, isn't judged by half."""
        server.list_body = json.dumps([sent("a"), sent("a", status="bad_credentials")]).encode()
        inventory = read_gate({})
        assert not len(inventory)
        assert 'lists connection "a" twice' in inventory.unread[0].reason

    def test_no_connections_are_no_failure(self, read_gate: Read, server: Sandbox) -> None:
        """A project without connections was read."""
        server.set_connections("first", [])
        inventory = read_gate({})
        assert (len(inventory), inventory.unread) == (0, ())
