"""What lists leave out: which connections are asked for, how fast, and what becomes of those that can't be had."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
from msgspec import UNSET

from builders import answer
from clients import CLIENTS, KEY, Connect, FakeTime
from pulumi_ampersand.answers import read_connection, read_connections
from pulumi_ampersand.client import AsyncClient
from pulumi_ampersand.details import MOST, Wanted, completed, keeping, wanted, with_gap
from pulumi_ampersand.errors import AmpersandError, SettingsError
from pulumi_ampersand.exchange import Limits, Pace
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.model import DETAILS_GAP, Found, Token
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand.settings import DETAILS, Access, ApiKey, Details
from pulumi_ampersand_policies.testing import NOW, at, grant
from pulumi_ampersand_policies.testing import connection as sent

TOO_MANY = (
    'its details were not asked for: details="auto" asks for 1000 connections in one read; '
    'filter by provider, group_ref or consumer_ref, or set details="always"'
)


@pytest.fixture(params=list(CLIENTS.values()), ids=list(CLIENTS))
def client(request: pytest.FixtureRequest) -> Connect:
    """Makes clients of each kind."""
    connect: Connect = request.param
    return connect


def bare(name: str = "conn_1", /, **changes: Any) -> dict[str, Any]:
    """An OAuth connection as a list without credentials has it."""
    return sent(name, **{"oauth2AuthorizationCode": None, **changes})


def listed(*connections: Any) -> list[Found]:
    """What a list gives."""
    return read_connections(answer(*connections))


def single(name: str = "conn_1", /, **changes: Any) -> Found:
    """What a connection's own call gives."""
    return read_connection(json.dumps(sent(name, **changes)).encode(), refresh_token_told=True)


def ids(found: Sequence[Found]) -> list[str]:
    """The IDs, in order."""
    return [connection.id for connection, _ in found]


def gap(found: Sequence[Found], name: str) -> str:
    """Why a connection's details aren't known; empty if they are."""
    (seen,) = [seen for connection, seen in found if connection.id == name]
    assert seen.id == name
    return seen.gaps.get(DETAILS_GAP, "")


class TestWanted:
    """Which connections are asked for."""

    @pytest.mark.parametrize(
        ("changes", "asked"),
        [
            pytest.param({}, False, id="all-there"),
            pytest.param({"oauth2AuthorizationCode": None}, True, id="no-grant"),
            pytest.param({"oauth2AuthorizationCode": {}}, True, id="empty-grant"),
            pytest.param({"oauth2AuthorizationCode": grant(scopes=None)}, True, id="no-scopes"),
            pytest.param({"oauth2AuthorizationCode": grant(scopes=[])}, False, id="nothing-granted"),
            pytest.param({"oauth2AuthorizationCode": grant(scopes=[5])}, True, id="scopes-of-a-wrong-type"),
            pytest.param({"oauth2AuthorizationCode": grant(access=False)}, True, id="no-access-token"),
            pytest.param({"oauth2AuthorizationCode": grant(refresh=False)}, True, id="no-refresh-token"),
            pytest.param(
                {"oauth2AuthorizationCode": grant() | {"accessToken": {"token": "CANARY"}}}, True, id="no-access-times"
            ),
            pytest.param(
                {"oauth2AuthorizationCode": grant() | {"refreshToken": {"token": "CANARY"}}},
                True,
                id="no-refresh-times",
            ),
            pytest.param(
                {"oauth2AuthorizationCode": grant() | {"refreshToken": {"expiresAt": at(days=9)}}},
                False,
                id="one-time-is-enough",
            ),
            pytest.param(
                {"authScheme": "oauth2/authorizationCodePKCE", "oauth2AuthorizationCode": None}, True, id="pkce"
            ),
            pytest.param({"authScheme": "apiKey", "oauth2AuthorizationCode": None}, False, id="api-key"),
            pytest.param(
                {"authScheme": "oauth2/clientCredentials", "oauth2AuthorizationCode": None},
                False,
                id="client-credentials",
            ),
            pytest.param({"authScheme": None, "oauth2AuthorizationCode": None}, False, id="scheme-unknown"),
            pytest.param(
                {"authScheme": None, "oauth2AuthorizationCode": grant(scopes=None)}, True, id="a-grant-says-the-scheme"
            ),
            pytest.param(
                {"status": "bad_credentials", "oauth2AuthorizationCode": None}, True, id="whatever-its-status"
            ),
        ],
    )
    def test_auto_asks_where_something_lacks(self, changes: dict[str, Any], asked: bool) -> None:
        """Of OAuth authorization-code connections those without scopes, token times or a refresh token."""
        found = listed(sent(**changes))
        assert wanted(found, "auto", None, NOW) == Wanted(["conn_1"] if asked else [], {})
        assert wanted(found, "always", None, NOW) == Wanted(["conn_1"], {})
        assert wanted(found, "never", None, NOW) == Wanted((), {})

    def test_order_is_the_lists(self) -> None:
        """Connections are asked for in the order in which they are listed."""
        found = listed(bare("c"), sent("x"), bare("a"), bare("b"))
        assert wanted(found, "auto", None, NOW).ids == ["c", "a", "b"]
        assert wanted(found, "always", None, NOW).ids == ["c", "x", "a", "b"]

    def test_auto_asks_for_a_thousand(self) -> None:
        """The first by ID, so that the next read asks for the same; the rest are gaps that say how to get them."""
        names = [f"c{number:04}" for number in range(MOST + 3)]
        found = listed(*(bare(name) for name in reversed(names)), *(sent(f"a{number}") for number in range(9)))
        chosen = wanted(found, "auto", None, NOW)
        assert MOST == 1000
        assert chosen.ids == names[MOST - 1 :: -1]
        assert chosen.gaps == dict.fromkeys(names[MOST:], TOO_MANY)
        every = wanted(found, "always", None, NOW)
        assert (every.ids, every.gaps) == (ids(found), {})
        assert wanted(found[3:], "auto", None, NOW).gaps == {}

    @pytest.mark.parametrize(
        ("access", "asked"),
        [(at(seconds=-1), True), (at(), True), (at(seconds=1), False), (None, False), ("nonsense", False)],
    )
    def test_a_refresh_selects_what_has_expired(self, access: str | None, asked: bool) -> None:
        """Connections whose access token has expired are asked for, too, so that the API refreshes it."""
        found = listed(sent(oauth2AuthorizationCode=grant(access=access)))
        assert wanted(found, "auto", "ifExpired", NOW).ids == (["conn_1"] if asked else [])
        assert wanted(found, "auto", None, NOW).ids == []
        assert wanted(found, "always", "ifExpired", NOW).ids == ["conn_1"]


class TestCompleted:
    """How answers complete a list."""

    def test_what_the_list_leaves_out_comes_from_the_single_answer(self) -> None:
        """Scopes, token times, and whether there is a refresh token at all."""
        found = listed(bare("a"), bare("b"), sent("c"))
        told = {
            "a": single("a", oauth2AuthorizationCode=grant(at(days=9), at(days=1), ["x", "y"])),
            "b": single("b", oauth2AuthorizationCode=grant(refresh=False)),
        }
        whole = completed(found, told, Wanted(["a", "b"], {}))
        assert ids(whole) == ["a", "b", "c"]
        (a, seen_a), (b, seen_b), c = whole
        assert (a.scopes, b.scopes) == (["x", "y"], ["api"])
        assert seen_a.refresh_token == Token(at(days=-30), at(days=9))
        assert seen_a.access_token == Token(at(days=-30), at(days=1))
        assert seen_b.refresh_token is None
        assert (seen_a.oauth, seen_a.gaps) == (True, {})
        assert c is found[2]

    def test_what_a_connection_is_comes_from_the_list(self) -> None:
        """Else a call that fails next time would be a change; health comes from where the status does."""
        (found,) = listed(bare(group={"groupRef": "acme", "groupName": "Acme Ltd"}, status="working"))
        told = single(group={"groupRef": "acme"}, status="bad_credentials", providerWorkspaceRef="new", updateTime=at())
        ((connection, seen),) = completed([found], {"conn_1": told}, Wanted(["conn_1"], {}))
        assert connection == {**found[0], "healthy": False, "scopes": ["api"]}
        assert (seen.status, seen.update_time) == ("bad_credentials", at())

    def test_a_single_answer_that_says_less_takes_nothing_away(self) -> None:
        """What the list told is kept where the connection's own call lacks it."""
        (found,) = listed(sent(oauth2AuthorizationCode=grant(refresh=False)))
        ((connection, seen),) = completed([found], {"conn_1": single(oauth2AuthorizationCode=None)}, Wanted([], {}))
        assert connection.scopes == ["api"]
        assert (seen.oauth, seen.access_token, seen.refresh_token) == (True, found[1].access_token, None)

    def test_gaps_of_the_grant_are_those_of_the_single_answer(self) -> None:
        """A list's broken grant is mended by a whole one; other gaps stay the list's, and one that is new comes in."""
        (found,) = listed(bare(providerApp=5, oauth2AuthorizationCode="broken"))
        assert set(found[1].gaps) == {"providerApp", "oauth2AuthorizationCode"}
        ((_, seen),) = completed([found], {"conn_1": single()}, Wanted([], {}))
        assert set(seen.gaps) == {"providerApp"}
        broken = single(consumer=7, oauth2AuthorizationCode=grant() | {"scopes": 7})
        ((connection, seen),) = completed([found], {"conn_1": broken}, Wanted([], {}))
        assert set(seen.gaps) == {"providerApp", "oauth2AuthorizationCode.scopes"}
        assert connection.scopes is None

    def test_what_failed_is_a_gap_with_its_reason(self) -> None:
        """The connection stays as it was listed, the others are complete."""
        found = listed(bare("a"), bare("b"), bare("c"))
        told: Mapping[str, Found | AmpersandError] = {"a": AmpersandError("it\nfailed"), "b": single("b")}
        whole = completed(found, told, Wanted(["a", "b"], {"c": TOO_MANY}))
        assert [seen.gaps for _, seen in whole] == [
            {"details": "its details could not be read: it failed"},
            {},
            {"details": TOO_MANY},
        ]
        assert [connection for connection, _ in whole[::2]] == [connection for connection, _ in found[::2]]

    def test_a_gap_is_one_short_line(self) -> None:
        """Whatever a server said: it lies in the state and is shown by packs."""
        ((_, seen),) = [with_gap(pair, "x\n\x1b[31m" + "y" * 999) for pair in listed(bare(providerApp=5))]
        assert set(seen.gaps) == {"providerApp", "details"}
        assert seen.gaps["details"].startswith("x [31my")
        assert len(seen.gaps["details"]) == 400

    def test_nothing_given_is_changed(self) -> None:
        """The same list serves several readers: completing makes new values."""
        found = listed(bare("a"), bare("b"), bare("c"))
        before = pickle.dumps(found)
        completed(found, {"a": single("a"), "b": AmpersandError("failed")}, Wanted([], {"c": "too many"}))
        keeping(with_gap(found[0], "failed"), *single("a"))
        assert pickle.dumps(found) == before


class TestKeeping:
    """What was known before of what can't be had this time."""

    KEPT = "failed; what was known before is kept"

    def test_what_was_known_stays(self) -> None:
        """A failed call changes nothing: scopes and token times are those of before, and a gap says so."""
        connection, seen = keeping(with_gap(listed(bare())[0], "failed"), *single())
        assert connection == single()[0]
        before = single()[1]
        assert (seen.oauth, seen.access_token, seen.refresh_token) == (True, before.access_token, before.refresh_token)
        assert seen.gaps == {"details": self.KEPT}

    def test_what_is_known_now_comes_first(self) -> None:
        """Only what lacks is taken from before."""
        now = listed(sent(status="created", oauth2AuthorizationCode=grant(access=at(days=5), scopes=["new"])))[0]
        connection, seen = keeping(with_gap(now, "failed"), *single(status="bad_credentials"))
        assert (connection.scopes, connection.healthy, seen.status) == (["new"], True, "created")
        assert (seen.access_token, seen.refresh_token) == (now[1].access_token, now[1].refresh_token)

    def test_that_there_was_no_refresh_token_is_kept(self) -> None:
        """It is a thing known, unlike what nobody ever said."""
        failed = with_gap(listed(bare())[0], "failed")
        none = single(oauth2AuthorizationCode=grant(refresh=False))
        assert keeping(failed, *none)[1].refresh_token is None
        assert keeping(failed, *listed(bare())[0])[1].refresh_token is UNSET

    def test_without_a_gap_nothing_is_kept(self) -> None:
        """What the API says now, counts: scopes that are gone are gone."""
        now = listed(bare())[0]
        assert keeping(now, *single()) is now

    def test_with_nothing_known_before_the_gap_stays_as_it_is(self) -> None:
        """A new connection has no past, and a state without observations at least keeps the scopes."""
        failed = with_gap(listed(bare())[0], "failed")
        assert keeping(failed, None, None) is failed
        connection, seen = keeping(failed, single()[0], None)
        assert (connection.scopes, seen.access_token, seen.gaps) == (["api"], None, {"details": self.KEPT})
        connection, seen = keeping(failed, None, single()[1])
        assert (connection.scopes, seen.access_token) == (None, single()[1].access_token)

    def test_keeping_twice_says_so_once(self) -> None:
        """The note isn't longer after the tenth outage."""
        once = keeping(with_gap(listed(bare())[0], "failed"), *single())
        again = keeping(with_gap(listed(bare())[0], "failed"), *once)
        assert again == once

    def test_a_failure_is_no_change_of_the_document(self) -> None:
        """The document that decides on a change is the same, byte by byte, when a call fails that went well before."""
        found = listed(bare("a"), bare("b"))
        well = completed(found, {"a": single("a"), "b": single("b", status="created")}, Wanted([], {}))
        failed = completed(found, {"a": AmpersandError("failed"), "b": single("b")}, Wanted([], {}))
        kept = [keeping(pair, *before) for pair, before in zip(failed, well, strict=True)]
        documents, again = (Inventory(each, "crm").documents() for each in (well, kept))
        assert documents[0] == again[0]
        assert documents[1] != again[1]


PEOPLE: dict[str, dict[str, Any]] = {
    "full": sent("full", oauth2AuthorizationCode=grant(at(days=900), at(days=900))),
    "key": sent("key", authScheme="apiKey", oauth2AuthorizationCode=None, apiKey="CANARY-api-key"),
    "pkce": sent("pkce", authScheme="oauth2/authorizationCodePKCE"),
    "no-refresh": sent("no-refresh", oauth2AuthorizationCode=grant(refresh=False)),
    "basic": sent("basic", authScheme="basic", oauth2AuthorizationCode=None, basicAuth={"password": "CANARY-basic"}),
    "no-scopes": sent("no-scopes", oauth2AuthorizationCode=grant(scopes=None)),
    "last": sent("last", provider="hubspot", oauth2AuthorizationCode=grant(scopes=["b", "a"])),
}
"""Connections of all kinds, in an order that isn't that of their IDs."""

OAUTH = ["full", "pkce", "no-refresh", "no-scopes", "last"]


@pytest.fixture(scope="module")
def _api() -> Iterator[Sandbox]:
    with Sandbox(connections=list(PEOPLE.values()), api_key=KEY, list_credentials=False) as running:
        yield running


@pytest.fixture
def api(_api: Sandbox) -> Sandbox:
    """An API whose lists leave credentials out, as it is at first."""
    _api.reset()
    return _api


@pytest.fixture
def fake() -> FakeTime:
    """A clock that only moves when somebody sleeps."""
    return FakeTime()


def asked(api: Sandbox) -> list[str]:
    """The connections that were asked for one by one, in order of arrival."""
    return [request.path.rpartition("/")[2] for request in api.requests if request.kind == "one"]


class TestReading:
    """Details over the wire."""

    @pytest.mark.parametrize(
        ("details", "names"), [("auto", OAUTH), ("always", list(PEOPLE)), ("never", [])], ids=DETAILS
    )
    def test_each_way_asks_for_its_connections(
        self, client: Connect, api: Sandbox, details: Details, names: list[str]
    ) -> None:
        """``auto`` for OAuth connections that lack something, ``always`` for all, ``never`` for none."""
        with client(api, concurrency=1) as using:
            found = using.list_connections(api.project, details=details)
        assert asked(api) == names
        assert api.counts["list"] == 1
        ones = [request for request in api.requests if request.kind == "one"]
        assert all(request.query == {"includeRefreshToken": "true"} for request in ones)
        assert all(request.path.startswith("/v1/projects/quickstart/connections/") for request in ones)
        assert ids(found) == list(PEOPLE)
        known = {name for name in names if name in OAUTH}
        assert {connection.id for connection, seen in found if seen.access_token} == known
        assert {connection.id for connection, _ in found if connection.scopes is not None} == known - {"no-scopes"}
        assert {connection.id for connection, seen in found if seen.refresh_token is None} >= known & {"no-refresh"}

    def test_auto_is_the_default(self, client: Connect, api: Sandbox) -> None:
        """And gives for OAuth connections what ``always`` gives."""
        with client(api) as using:
            found, every = using.list_connections(api.project), using.list_connections(api.project, details="always")
        assert [pair for pair in found if pair[0].id in OAUTH] == [pair for pair in every if pair[0].id in OAUTH]
        assert [connection for connection, _ in found] == [connection for connection, _ in every]

    def test_auto_asks_for_nothing_where_the_list_is_whole(self, client: Connect, api: Sandbox) -> None:
        """Lists that hold credentials cost no call but for what they lack themselves."""
        api.list_credentials = True
        with client(api) as using:
            using.list_connections(api.project)
        assert set(asked(api)) == {"no-refresh", "no-scopes"}

    def test_filters_narrow_what_is_asked_for(self, client: Connect, api: Sandbox) -> None:
        """Only connections of the list are asked for."""
        with client(api) as using:
            assert ids(using.list_connections(api.project, provider="hubspot")) == ["last"]
        assert asked(api) == ["last"]

    @pytest.mark.parametrize("concurrency", [1, 3, 16])
    def test_order_is_kept(self, client: Connect, api: Sandbox, concurrency: int) -> None:
        """However the answers arrive: the first one asked for comes last here."""
        api.faults = ["slow:0.1,times=1@one"]
        with client(api, concurrency=concurrency) as using:
            found = using.list_connections(api.project, details="always")
            several = using.get_several(api.project, ["last", "full", "last", "key"])
        assert ids(found) == list(PEOPLE)
        assert {name: pair[0].id for name, pair in several.items() if isinstance(pair, tuple)} == {
            name: name for name in ("last", "full", "key")
        }
        assert len(asked(api)) == len(PEOPLE) + 3

    def test_nothing_to_ask_for_is_nothing_asked(self, client: Connect, api: Sandbox) -> None:
        """An empty list starts no worker."""
        with client(api) as using:
            assert using.get_several(api.project, []) == {}
            assert using.with_details(api.project, [], details="always") == []
        assert api.requests == []

    @pytest.mark.parametrize(
        ("fault", "reason", "tries"),
        [
            ("404,times=1@one", "404 The sandbox was told to answer with 404. Try", 1),
            ("500,times=5@one", "500 The sandbox was told to answer with 500. Try again later", 5),
            ("403,times=1@one", "403 The sandbox was told to answer with 403", 1),
            ("reset,times=5@one", "check the network, proxy and ampersand:apiUrl", 5),
            ("invalid-json,times=1@one", "expected a JSON", 1),
            ("key-echo,times=1@one", "401 The API key [API key] is not valid", 1),
        ],
    )
    def test_one_failure_is_that_connections_gap(
        self, client: Connect, api: Sandbox, fake: FakeTime, *, fault: str, reason: str, tries: int
    ) -> None:
        """With its reason; the others are complete, and the connection itself stays listed."""
        api.faults = [fault]
        with client(api, fake, concurrency=1) as using:
            found = using.list_connections(api.project)
        assert ids(found) == list(PEOPLE)
        assert gap(found, "full").startswith(
            f'its details could not be read: reading connection "full" of project "quickstart" at {api.url}: '
        )
        assert reason.removesuffix(". Try") in gap(found, "full")
        assert KEY not in repr(found)
        assert [connection.id for connection, seen in found if seen.gaps] == ["full"]
        assert [connection.scopes for connection, _ in found if connection.id in {"full", "pkce"}] == [None, ["api"]]
        assert asked(api) == ["full"] * tries + OAUTH[1:]

    def test_all_may_fail(self, client: Connect, api: Sandbox) -> None:
        """The list is still worth having."""
        api.faults = ["403@one"]
        with client(api) as using:
            found = using.list_connections(api.project)
        assert {connection.id for connection, seen in found if DETAILS_GAP in seen.gaps} == set(OAUTH)

    def test_a_list_that_fails_is_an_error(self, client: Connect, api: Sandbox) -> None:
        """Without it there is nothing to complete."""
        api.faults = ["403@list"]
        with client(api) as using, pytest.raises(AmpersandError, match="reading connections of project"):
            using.list_connections(api.project)
        assert asked(api) == []

    def test_the_rest_of_more_than_a_thousand_are_gaps(self, client: Connect) -> None:
        """``auto`` asks for a thousand, the first by ID, whatever the list's order."""
        names = [f"c{number:04}" for number in range(MOST + 2)]
        seen: list[str] = []

        def serve(request: httpx.Request) -> httpx.Response:
            name = request.url.path.rpartition("/")[2]
            if name == "connections":
                return httpx.Response(200, json=[bare(name) for name in reversed(names)])
            seen.append(name)
            return httpx.Response(200, json=sent(name))

        with client("http://x.test", transport=httpx.MockTransport(serve)) as using:
            found = using.list_connections("crm")
        assert sorted(seen) == names[:MOST]
        assert ids(found) == names[::-1]
        assert {name: gap([pair], name) for pair in found for name in ids([pair]) if pair[1].gaps} == dict.fromkeys(
            names[MOST:], TOO_MANY
        )

    def test_no_credential_is_in_what_is_returned(self, client: Connect, api: Sandbox) -> None:
        """Not in a repr, a text, a pickle or a document, of results or errors."""
        api.faults = ["404,times=1,after=1@one"]
        api.update("full", oauth2AuthorizationCode=grant(access="@now-1h"))
        with client(api) as using:
            found = using.list_connections(api.project, details="always")
            single = using.get_connection(api.project, "full", details="always", refresh="ifExpired")
            several = using.get_several(api.project, ["full", "basic", "gone"], refresh="ifExpired")
        assert len(api.secrets) >= 5
        assert isinstance(several["gone"], AmpersandError)
        for value in (found, single, several, Inventory(found, "crm").documents()):
            shown = f"{value!r} {value} {pickle.dumps(value, 0)!r}"
            assert "CANARY" not in shown
            assert not [secret for secret in api.secrets if secret in shown]


class TestAtOnce:
    """Several connections are asked for at once, within a bound."""

    @pytest.mark.parametrize("concurrency", [1, 3])
    def test_the_bound_is_kept_and_reached(self, client: Connect, api: Sandbox, concurrency: int) -> None:
        """As many requests are under way as the settings allow, never more."""
        api.connections = [sent(f"c{number}") for number in range(10)]
        api.faults = ["slow:0.05@one"]
        with client(api, concurrency=concurrency) as using:
            found = using.list_connections(api.project)
        assert api.most_at_once == concurrency
        assert api.counts == {"list": 1, "one": 10}
        assert not any(seen.gaps for _, seen in found)

    def test_sixteen_is_the_default(self, client: Connect, api: Sandbox) -> None:
        """Neither more nor fewer."""
        api.connections = [sent(f"c{number}") for number in range(24)]
        api.faults = ["slow:0.2@one"]
        with client(api) as using:
            using.list_connections(api.project)
        assert api.most_at_once == 16

    def test_readers_share_the_bound(self, api: Sandbox) -> None:
        """Several threads that read through one client are together no more than one."""
        api.connections = [sent(f"c{number}") for number in range(6)]
        api.faults = ["slow:0.05@one"]
        with CLIENTS["blocking"](api, concurrency=3) as using:
            names = [f"c{number}" for number in range(6)]
            threads = [threading.Thread(target=using.get_several, args=(api.project, names)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
        assert api.most_at_once == 3
        assert api.counts == {"one": 18}

    def test_a_task_that_is_cancelled_asks_no_more(self, api: Sandbox) -> None:
        """Who loses patience leaves no worker behind in the event loop."""
        api.connections = [sent(f"c{number}") for number in range(20)]
        api.faults = ["slow:0.1@one"]

        async def main() -> int:
            async with AsyncClient(Access(ApiKey(KEY), api.url, concurrency=2)) as using:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(using.list_connections(api.project), 0.3)
                # What was on its way may still arrive.
                await asyncio.sleep(0.2)
                before = len(asked(api))
                await asyncio.sleep(0.3)
                assert len(asyncio.all_tasks()) == 1
                return before

        before = asyncio.run(main())
        assert 1 <= before < 12
        assert len(asked(api)) == before


class TestDeadline:
    """One deadline holds for all connections that are asked for together."""

    def test_those_not_begun_in_time_are_gaps(self, client: Connect, fake: FakeTime) -> None:
        """Each call takes a second of ten: ten are answered, and the rest say why they weren't."""
        names = [f"c{number:02}" for number in range(20)]

        def serve(request: httpx.Request) -> httpx.Response:
            name = request.url.path.rpartition("/")[2]
            if name == "connections":
                return httpx.Response(200, json=[bare(name) for name in names])
            fake.sleep(1.0)
            return httpx.Response(200, json=sent(name))

        transport = httpx.MockTransport(serve)
        with client("http://x.test", fake, concurrency=1, limits=Limits(total=10.0), transport=transport) as using:
            found = using.list_connections("crm")
        assert [connection.id for connection, seen in found if not seen.gaps] == names[:10]
        # The eleventh began just in time.
        assert "the answer wasn't complete after 10 s" in gap(found, names[10])
        assert {gap(found, name).count("not begun within 10 s") for name in names[11:]} == {1}
        assert gap(found, names[-1]) == (
            f'its details could not be read: reading connection "{names[-1]}" of project "crm" at http://x.test: '
            "not begun within 10 s; filter by provider, group_ref or consumer_ref, "
            "or raise ampersand:timeout (or AMP_TIMEOUT)"
        )
        assert fake.clock() == 11.0

    def test_a_slow_api_ends_all_of_them(self, client: Connect, api: Sandbox) -> None:
        """With real time: what didn't fit in is a gap, nothing is lost, and the read ends."""
        api.connections = [sent(f"c{number:02}") for number in range(30)]
        api.faults = ["slow:0.1@one"]
        with client(api, concurrency=2, limits=Limits(total=0.35)) as using:
            found = using.list_connections(api.project)
        late = [connection.id for connection, seen in found if "not begun within 0.35 s" in gap(found, connection.id)]
        assert len(found) == 30
        assert 30 - 12 <= len(late) < 30
        assert len(asked(api)) <= 12

    def test_a_single_call_has_a_deadline_of_its_own(self, client: Connect, fake: FakeTime) -> None:
        """The list's time isn't taken from the details'."""

        def serve(request: httpx.Request) -> httpx.Response:
            fake.sleep(6.0)
            name = request.url.path.rpartition("/")[2]
            return httpx.Response(200, json=[bare("a")] if name == "connections" else sent(name))

        transport = httpx.MockTransport(serve)
        with client("http://x.test", fake, limits=Limits(total=10.0), transport=transport) as using:
            found = using.list_connections("crm")
            again = using.list_connections("crm")
        assert gap(found, "a") == gap(again, "a") == ""


class Limited:
    """An API that answers 429 a few times, and the fake times at which requests arrived.

    Args:
        fake: The clock.
        refuse: Whether the request with this number, from 1, is answered 429.
        wait: The seconds in ``Retry-After``.
    """

    def __init__(self, fake: FakeTime, refuse: Callable[[int], bool], wait: int) -> None:
        self._fake = fake
        self._refuse = refuse
        self._wait = wait
        self._lock = threading.Lock()
        self.arrivals: list[float] = []
        self.transport = httpx.MockTransport(self._serve)

    def _serve(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        if name == "connections":
            return httpx.Response(200, json=[bare(f"c{number:02}") for number in range(12)])
        with self._lock:
            self.arrivals.append(self._fake.clock())
            number = len(self.arrivals)
        if self._refuse(number):
            return httpx.Response(429, headers={"Retry-After": str(self._wait)})
        return httpx.Response(200, json=sent(name))


class TestRateLimit:
    """An answer 429 slows everyone, not one."""

    def test_nobody_asks_before_the_pause_is_over(self, client: Connect, api: Sandbox) -> None:
        """Of four that are under way one is refused: whoever asks next, asks after the pause that the API wants."""
        api.connections = [sent(f"c{number}") for number in range(8)]
        api.faults = ["429,times=1,after=1,retry-after=1@one", "slow:0.3,times=3@one"]
        with client(api, concurrency=4) as using:
            found = using.list_connections(api.project)
        assert not any(seen.gaps for _, seen in found)
        ones = [request for request in api.requests if request.kind == "one"]
        refused = ones[1]
        assert [request.status for request in ones] == [200, 429, *[200] * 7]
        assert min(request.at for request in ones[4:]) - refused.at >= 0.95

    def test_pauses_use_up_no_tries(self, client: Connect, fake: FakeTime) -> None:
        """Eight refusals in a row, and each connection is there in the end: others may have caused them."""
        limited = Limited(fake, lambda number: number <= 8, wait=2)
        with client("http://x.test", fake, concurrency=1, transport=limited.transport) as using:
            found = using.list_connections("crm")
        assert not any(seen.gaps for _, seen in found)
        assert len(limited.arrivals) == 12 + 8
        assert all(
            later - earlier >= 1.9 for earlier, later in zip(limited.arrivals[:8], limited.arrivals[1:9], strict=True)
        )

    def test_other_failures_still_do(self, client: Connect, fake: FakeTime) -> None:
        """Refusals between them don't make a failing server be asked for ever."""
        statuses = [429, 500, 429, 500, 429, 500, 500, 500, 200]

        def serve(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("connections"):
                return httpx.Response(200, json=[bare("a")])
            return httpx.Response(statuses.pop(0), json=sent("a"))

        with client("http://x.test", fake, transport=httpx.MockTransport(serve)) as using:
            found = using.list_connections("crm")
        assert statuses == [200]
        assert "500 Internal Server Error" in gap(found, "a")

    def test_one_call_alone_is_not_so_patient(self, client: Connect, fake: FakeTime) -> None:
        """Of a single call, five tries are all."""
        limited = Limited(fake, lambda _: True, wait=2)
        with client("http://x.test", fake, transport=limited.transport) as using, pytest.raises(AmpersandError):
            using.get_connection("crm", "c01")
        assert len(limited.arrivals) == 5

    def test_a_pause_without_end_ends_at_the_deadline(self, client: Connect, fake: FakeTime) -> None:
        """Every connection then has a gap that tells of the limit, and time isn't wasted on waiting in vain."""
        limited = Limited(fake, lambda _: True, wait=50)
        with client("http://x.test", fake, concurrency=1, transport=limited.transport) as using:
            found = using.list_connections("crm")
        assert {DETAILS_GAP in seen.gaps for _, seen in found} == {True}
        assert "429 Too Many Requests" in gap(found, "c00")
        assert "the API asks for a pause that doesn't end within 120 s; try again later" in gap(found, "c11")
        assert fake.clock() <= 120

    def test_refused_ones_are_spaced_afterwards(self, client: Connect, fake: FakeTime) -> None:
        """After a pause, requests follow each other at a distance instead of being refused together again."""
        limited = Limited(fake, lambda number: number == 1, wait=2)
        with client("http://x.test", fake, concurrency=1, transport=limited.transport) as using:
            using.list_connections("crm")
        gaps = [later - earlier for earlier, later in zip(limited.arrivals[1:], limited.arrivals[2:], strict=False)]
        assert len(gaps) == 11
        assert gaps[0] > 0
        assert gaps == sorted(gaps, reverse=True)
        assert gaps[-1] == 0


class TestPace:
    """The row in which requests wait, by itself."""

    def test_without_a_pause_nobody_waits(self) -> None:
        """The row is empty until the API asks for a pause."""
        fake = FakeTime()
        pace = Pace(fake.clock)
        assert [pace.turn() for _ in range(100)] == [0.0] * 100
        assert pace.remaining() == 0.0
        pace.succeeded()
        assert pace.turn() == 0.0

    def test_a_pause_holds_for_everyone(self) -> None:
        """Until it is over; then turns follow each other at a distance."""
        fake = FakeTime()
        pace = Pace(fake.clock)
        pace.pause(10.0)
        assert pace.remaining() == 10.0
        assert [round(pace.turn(), 6) for _ in range(4)] == [10.0, 10.02, 10.04, 10.06]
        fake.sleep(4.0)
        assert pace.remaining() == 6.0
        fake.sleep(100.0)
        assert pace.remaining() == 0.0
        assert [round(pace.turn(), 6) for _ in range(3)] == [0.0, 0.02, 0.04]

    def test_the_longest_pause_counts(self) -> None:
        """A shorter one that comes later ends no longer one, and a longer one prolongs it."""
        fake = FakeTime()
        pace = Pace(fake.clock)
        pace.pause(10.0)
        pace.pause(3.0)
        assert pace.remaining() == 10.0
        pace.pause(12.0)
        assert pace.remaining() == 12.0
        assert pace.turn() == 12.0

    def distance(self, pace: Pace) -> float:
        """Seconds between the next two turns."""
        first = pace.turn()
        return round(pace.turn() - first, 9)

    def test_the_distance_grows_with_each_further_pause(self) -> None:
        """Twice as far each time, a second at the most; refusals during one pause are one."""
        fake = FakeTime()
        pace = Pace(fake.clock)
        found = []
        for _ in range(8):
            pace.pause(1.0)
            pace.pause(1.0)
            fake.sleep(1000.0)
            found.append(self.distance(pace))
        assert found == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]

    def test_the_distance_shrinks_with_each_success(self) -> None:
        """By a tenth each time, and ends at none at all."""
        fake = FakeTime()
        pace = Pace(fake.clock)
        pace.pause(1.0)
        fake.sleep(1000.0)
        found = []
        for _ in range(9):
            pace.succeeded()
            found.append(self.distance(pace))
        assert found[:2] == [0.018, 0.0162]
        assert found == sorted(found, reverse=True)
        assert found[-1] == 0.0

    def test_threads_get_a_turn_each(self) -> None:
        """No two of them the same."""
        fake = FakeTime()
        pace = Pace(fake.clock)
        pace.pause(1.0)
        turns: list[float] = []
        threads = [threading.Thread(target=lambda: turns.extend(pace.turn() for _ in range(50))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len({round(turn, 6) for turn in turns}) == 200


class TestRefresh:
    """``refresh="ifExpired"``, which changes connections."""

    EXPIRED = grant(refresh=None, access="@now-1h")
    FRESH = grant(refresh=None, access="@now+1h")

    @pytest.fixture
    def api(self, api: Sandbox) -> Sandbox:
        """Two whole connections, of which one's access token has expired."""
        api.list_credentials = True
        api.connections = [
            sent("fresh", oauth2AuthorizationCode=self.FRESH),
            sent("expired", oauth2AuthorizationCode=self.EXPIRED),
        ]
        return api

    def test_what_has_expired_is_refreshed(self, client: Connect, api: Sandbox) -> None:
        """It is asked for although the list has all of it, and the API's own connection is another afterwards."""
        before = {entry["id"]: entry for entry in api.connections}
        with client(api) as using:
            using.list_connections(api.project)
            assert asked(api) == []
            found = using.list_connections(api.project, refresh="ifExpired")
            assert asked(api) == ["expired"]
            assert api.requests[-1].query == {"includeRefreshToken": "true", "refresh": "ifExpired"}
            again = using.list_connections(api.project, refresh="ifExpired")
        assert asked(api) == ["expired"]
        after = {entry["id"]: entry for entry in api.connections}
        assert after["fresh"] == before["fresh"]
        assert after["expired"]["oauth2AuthorizationCode"] != before["expired"]["oauth2AuthorizationCode"]
        token = found[1][1].access_token
        assert token is not None
        assert token.expires_at == after["expired"]["oauth2AuthorizationCode"]["accessToken"]["expiresAt"]
        assert again[1][1].access_token == token

    def test_always_and_single_calls_send_it(self, client: Connect, api: Sandbox) -> None:
        """Every call that reads a single connection carries it."""
        with client(api) as using:
            using.list_connections(api.project, details="always", refresh="ifExpired")
            using.get_several(api.project, ["fresh"], refresh="ifExpired")
            using.get_connection(api.project, "fresh", refresh="ifExpired")
        ones = [request.query for request in api.requests if request.kind == "one"]
        assert ones == [{"includeRefreshToken": "true", "refresh": "ifExpired"}] * 4
        (listing,) = [request.query for request in api.requests if request.kind == "list"]
        assert listing == {}

    def test_without_it_nothing_is_refreshed(self, client: Connect, api: Sandbox) -> None:
        """Reading changes nothing unless that was asked for."""
        before = api.connections
        with client(api) as using:
            using.list_connections(api.project, details="always")
            using.get_connection(api.project, "expired")
        assert api.connections == before
        assert all("refresh" not in request.query for request in api.requests)

    def test_it_needs_the_calls_that_never_forbids(self, client: Connect, api: Sandbox) -> None:
        """Together with ``details="never"`` it is refused before anything is sent."""
        with client(api) as using, pytest.raises(SettingsError, match='refresh="ifExpired" refreshes by the calls'):
            using.list_connections(api.project, details="never", refresh="ifExpired")
        assert api.requests == []

    def test_the_clients_time_decides(self, client: Connect, api: Sandbox) -> None:
        """What expires later than the client's present isn't asked for."""
        fake = FakeTime()
        fake.start -= timedelta(hours=2)
        with client(api, fake) as using:
            using.list_connections(api.project, refresh="ifExpired")
        assert asked(api) == []
