"""One run's reads: what is asked for once however many need it, what is asked for again, and what failures do."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import httpx
import pytest

from builders import answer, two_projects
from pulumi_ampersand.client import Client
from pulumi_ampersand.errors import (
    AnswerError,
    NotFoundError,
    ServerError,
    SettingsError,
)
from pulumi_ampersand.model import DETAILS_GAP, Found, Token
from pulumi_ampersand.query import Query
from pulumi_ampersand.reads import Reads
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand.settings import Access, ApiKey, Settings
from pulumi_ampersand_policies.testing import connection as sent
from pulumi_ampersand_policies.testing import grant

_T = TypeVar("_T")

SALESFORCE = ["conn_brightwater_salesforce", "conn_lumen_salesforce"]
LUMEN = ["conn_lumen_gong", "conn_lumen_salesforce"]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Sandbox]:
    """One server for all tests of this module."""
    with Sandbox("healthy") as running:
        yield running


@pytest.fixture
def sandbox(shared_server: Sandbox) -> Sandbox:
    """The API as it was at first, with connections that lack nothing."""
    shared_server.reset()
    return shared_server


class OneRun(Protocol):
    """Makes what one run reads of a sandbox."""

    def __call__(self, sandbox: Sandbox, config: Mapping[str, str] | None = None, /, **settings: Any) -> Reads:
        """With more configuration and settings."""


@pytest.fixture
def one_run() -> Iterator[OneRun]:
    """Runs end with the test: their sockets are closed."""
    with contextlib.ExitStack() as ended:

        def begin(sandbox: Sandbox, config: Mapping[str, str] | None = None, /, **settings: Any) -> Reads:
            reads = Reads(Settings(**settings), config or {}, sandbox.environment)
            ended.callback(reads.close)
            return reads

        yield begin


@pytest.fixture
def reads(sandbox: Sandbox, one_run: OneRun) -> Reads:
    """What one run reads."""
    return one_run(sandbox)


def ids(found: Sequence[Found]) -> list[str]:
    """The connections' IDs, sorted."""
    return sorted(connection.id for connection, _ in found)


def gaps(found: Sequence[Found]) -> dict[str, str]:
    """Why details aren't known, by the connections' IDs."""
    return {seen.id: seen.gaps[DETAILS_GAP] for _, seen in found if DETAILS_GAP in seen.gaps}


def asked(sandbox: Sandbox) -> list[tuple[str, dict[str, str]]]:
    """The requests since the last time: the end of the path, and the query."""
    requests = [(request.path.rpartition("/")[2], dict(request.query)) for request in sandbox.requests]
    sandbox.clear_requests()
    return requests


def at_once(works: Sequence[Callable[[], _T]]) -> list[_T]:
    """The results of works that begin at the same time, each in its own thread."""
    together = threading.Barrier(len(works))

    def begin(work: Callable[[], _T]) -> _T:
        together.wait(10)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(begin, works))


def outcome(work: Callable[[], object]) -> object:
    """What a work gives, or what it raises."""
    try:
        return work()
    except BaseException as error:  # noqa: BLE001 - an interruption among others
        return error


class TestList:
    """Reads of a project's list."""

    def test_fifty_at_once_are_one_request(self, reads: Reads, sandbox: Sandbox) -> None:
        """Whoever asks while the answer is on its way waits for it; who asks later has it."""
        sandbox.faults = ["slow:0.3@list"]
        answers = at_once([lambda: reads.connections(Query())] * 50)
        assert sandbox.counts == {"list": 1}
        everything = sorted(connection["id"] for connection in sandbox.connections)
        assert [ids(found) for found in answers] == [everything] * 50
        assert ids(reads.connections(Query())) == everything
        assert ids(reads.connections(Query(project=sandbox.project))) == everything
        assert sandbox.counts == {"list": 1}

    def test_different_filters_are_calls_of_their_own(self, reads: Reads, sandbox: Sandbox) -> None:
        """Each is asked for once; the whole list that comes later is another."""
        queries = [
            Query(provider="salesforce"),
            Query(group_ref="lumen"),
            Query(consumer_ref="lumen-priya"),
            Query(provider="salesforce", group_ref="lumen"),
        ]
        found = [ids(reads.connections(query)) for query in [*queries, *queries]]
        assert found == [SALESFORCE, LUMEN, LUMEN, ["conn_lumen_salesforce"]] * 2
        assert asked(sandbox) == [
            ("connections", {"provider": "salesforce"}),
            ("connections", {"groupRef": "lumen"}),
            ("connections", {"consumerRef": "lumen-priya"}),
            ("connections", {"provider": "salesforce", "groupRef": "lumen"}),
        ]
        assert len(reads.connections(Query())) == len(sandbox.connections)
        assert asked(sandbox) == [("connections", {})]

    def test_projects_are_apart(self, sandbox: Sandbox, one_run: OneRun) -> None:
        """The whole list of one project answers nothing about another."""
        with Sandbox(projects=two_projects()) as server:
            reads = one_run(server)
            assert ids(reads.connections(Query())) == ["a", "b", "c"]
            assert ids(reads.connections(Query(project="second"))) == ["d"]
            assert ids(reads.connections(Query(project="second", provider="salesforce"))) == ["d"]
            assert ids(reads.connections(Query(project="second", provider="hubspot"))) == []
            assert server.counts == {"list": 2}
        assert sandbox.counts == {}

    def test_a_run_of_its_own_asks_itself(self, reads: Reads, sandbox: Sandbox, one_run: OneRun) -> None:
        """Nothing is shared between runs."""
        reads.connections(Query())
        one_run(sandbox).connections(Query())
        assert sandbox.counts == {"list": 2}

    def test_the_project_is_that_of_query_settings_configuration_or_environment(
        self, sandbox: Sandbox, one_run: OneRun
    ) -> None:
        """In this order; without any, a sentence says how to set one."""
        config = {"ampersand:project": "of-config"}
        assert one_run(sandbox, config, project="of-settings").project(Query(project="of-query")) == "of-query"
        assert one_run(sandbox, config, project="of-settings").project(Query()) == "of-settings"
        assert one_run(sandbox, config).project(Query()) == "of-config"
        assert one_run(sandbox).project(Query()) == sandbox.project
        without = Reads(Settings(), {}, sandbox.environment | {"AMP_PROJECT": ""})
        with pytest.raises(SettingsError, match=r"^no project; run: pulumi config set ampersand:project "):
            without.connections(Query())
        assert sandbox.counts == {}


class TestWholeList:
    """Filters, where the project's whole list is there already."""

    CONNECTIONS = (
        sent("plain"),
        sent("hubspot", provider="hubspot"),
        sent("globex", group={"groupRef": "globex"}, consumer={"consumerRef": "acme-jo"}),
        sent("no-group", group=None),
        sent("no-consumer", consumer=None, provider="hubspot"),
        sent("neither", group=None, consumer=None),
        sent("unnamed", group={"groupName": "acme"}, consumer={"consumerName": "acme-jo"}),
        sent("crossed", group={"groupRef": "acme-jo"}, consumer={"consumerRef": "acme"}),
    )

    def test_they_give_what_the_api_would(self, sandbox: Sandbox, one_run: OneRun) -> None:
        """Every combination of filters, connections without group or consumer included; and nothing is asked."""
        sandbox.connections = self.CONNECTIONS
        values = {
            "provider": (None, "salesforce", "hubspot", "Salesforce"),
            "group_ref": (None, "acme", "globex", "acme-jo", "nobody"),
            "consumer_ref": (None, "acme-jo", "acme", "nobody"),
        }
        queries = [
            Query(**dict(zip(values, chosen, strict=True)))  # type: ignore[arg-type]
            for chosen in itertools.product(*values.values())
        ]
        by_api = [ids(one_run(sandbox, {"ampersand:details": "never"}).connections(query)) for query in queries]
        assert len({tuple(found) for found in by_api}) > 10
        sandbox.clear_requests()
        reads = one_run(sandbox, {"ampersand:details": "never"})
        reads.connections(Query())
        assert [ids(reads.connections(query)) for query in queries] == by_api
        assert sandbox.counts == {"list": 1}

    def test_a_reference_that_is_shown_cleaned_is_found_as_the_api_has_it(
        self, sandbox: Sandbox, one_run: OneRun
    ) -> None:
        """What steers a terminal is taken out of what is read; filters mean what they mean to the API all the same."""
        reference = "ac\u202eme\x1b"
        sandbox.connections = [sent("a", group={"groupRef": reference}), sent("b")]
        query = Query(group_ref=reference, details="never")
        assert ids(one_run(sandbox).connections(query)) == ["a"]
        reads = one_run(sandbox)
        reads.connections(Query(details="never"))
        assert ids(reads.connections(query)) == ["a"]

    def test_a_list_on_its_way_is_not_waited_for(self, reads: Reads, sandbox: Sandbox) -> None:
        """A filter that is asked for meanwhile is a call of its own."""
        sandbox.faults = ["slow:0.3,times=1@list"]
        whole = threading.Thread(target=reads.connections, args=[Query()])
        whole.start()
        while not sandbox.requests:
            time.sleep(0.01)
        assert ids(reads.connections(Query(group_ref="lumen"))) == LUMEN
        whole.join(10)
        assert [query for _, query in asked(sandbox)] == [{}, {"groupRef": "lumen"}]

    def test_a_list_that_failed_answers_nothing(self, reads: Reads, sandbox: Sandbox) -> None:
        """A filter is asked for though the whole list could not be had."""
        sandbox.faults = ["503,times=1,retryable=false@list"]
        with pytest.raises(ServerError):
            reads.connections(Query())
        assert ids(reads.connections(Query(group_ref="lumen"))) == LUMEN


class TestDetails:
    """What the list leaves out."""

    def test_reads_that_overlap_share_them(self, reads: Reads, sandbox: Sandbox) -> None:
        """A connection in two lists is asked for once, and has its details in both."""
        sandbox.list_credentials = False
        first = reads.connections(Query(provider="salesforce"))
        assert sorted(asked(sandbox)) == [
            *((name, {"includeRefreshToken": "true"}) for name in SALESFORCE),
            ("connections", {"provider": "salesforce"}),
        ]
        second = reads.connections(Query(group_ref="lumen"))
        assert asked(sandbox) == [("connections", {"groupRef": "lumen"})]
        for found in (first, second):
            (scopes,) = [connection.scopes for connection, _ in found if connection.id == "conn_lumen_salesforce"]
            assert scopes == ["api", "offline_access", "openid", "refresh_token"]

    def test_threads_that_overlap_share_them(self, reads: Reads, sandbox: Sandbox) -> None:
        """Each asks for what no other has asked for yet, and waits for the rest."""
        sandbox.list_credentials = False
        sandbox.faults = ["slow:0.3@one"]
        queries = [Query(), Query(provider="salesforce"), Query(group_ref="lumen"), Query(consumer_ref="lumen-priya")]
        answers = at_once([functools.partial(reads.connections, query) for query in queries * 3])
        assert sandbox.counts == {"list": 4, "one": 6}
        assert sandbox.most_at_once > 1
        for found in answers:
            unknown = [connection.id for connection, _ in found if connection.scopes is None]
            assert set(unknown) <= {"conn_lumen_gong"}
        assert [ids(found) for found in answers[1:4]] == [SALESFORCE, LUMEN, LUMEN]

    def test_what_lacks_nothing_is_not_asked_for(self, sandbox: Sandbox, one_run: OneRun) -> None:
        """By default only what the list leaves out; always or never, where configuration or query say so."""
        everyone = len(sandbox.connections)
        one_run(sandbox).connections(Query())
        assert sandbox.counts == {"list": 1}
        sandbox.clear_requests()
        one_run(sandbox, {"ampersand:details": "always"}).connections(Query())
        assert sandbox.counts == {"list": 1, "one": everyone}
        sandbox.clear_requests()
        one_run(sandbox).connections(Query(details="always"))
        assert sandbox.counts == {"list": 1, "one": everyone}

        sandbox.list_credentials = False
        sandbox.clear_requests()
        one_run(sandbox).connections(Query())
        assert sandbox.counts == {"list": 1, "one": everyone - 1}
        sandbox.clear_requests()
        one_run(sandbox, {"ampersand:details": "always"}).connections(Query(details="never"))
        assert sandbox.counts == {"list": 1}
        sandbox.clear_requests()
        one_run(sandbox, {"ampersand:details": "never"}).connections(Query())
        assert sandbox.counts == {"list": 1}

    def test_one_failure_is_that_connections_gap(self, reads: Reads, sandbox: Sandbox) -> None:
        """The others keep their details; whoever reads the same connection has the same gap and asks no more."""
        sandbox.list_credentials = False
        sandbox.faults = ["500,times=1,retryable=false@one"]
        first = reads.connections(Query(provider="salesforce"))
        ((name, reason),) = gaps(first).items()
        assert name in SALESFORCE
        assert reason.startswith(f'its details could not be read: reading connection "{name}" of project "quickstart"')
        assert "500 The sandbox was told to answer with 500" in reason
        sandbox.clear_requests()
        assert gaps(reads.connections(Query())) == {name: reason}
        assert sandbox.counts["list"] == 1
        assert not {path for path, _ in asked(sandbox)} & set(SALESFORCE)

    def test_the_order_is_that_of_the_list(self, reads: Reads, sandbox: Sandbox) -> None:
        """Whichever details come first."""
        sandbox.list_credentials = False
        sandbox.faults = ["slow:0.2,times=2@one"]
        listed = [connection["id"] for connection in sandbox.connections]
        assert [connection.id for connection, _ in reads.connections(Query())] == listed


class TestById:
    """Reads of a single connection."""

    KOYO = "conn_koyo_slack"
    DETAILED: tuple[str, dict[str, str]] = (KOYO, {"includeRefreshToken": "true"})

    def test_it_is_one_call_with_details(self, reads: Reads, sandbox: Sandbox) -> None:
        """Nothing is listed, and who asks later has it; "auto" and "always" ask for the same."""
        for details in (None, "auto", "always"):
            ((connection, seen),) = reads.connections(Query(connection_id=self.KOYO, details=details))
            assert connection.id == self.KOYO
            assert connection.scopes == ["channels:read", "chat:write", "users:read"]
            assert isinstance(seen.refresh_token, Token)
        assert asked(sandbox) == [self.DETAILED]

    def test_fifty_at_once_are_one_request(self, reads: Reads, sandbox: Sandbox) -> None:
        """With and without details."""
        sandbox.faults = ["slow:0.3@one"]
        query = Query(connection_id=self.KOYO)
        assert [ids(found) for found in at_once([lambda: reads.connections(query)] * 50)] == [[self.KOYO]] * 50
        assert asked(sandbox) == [self.DETAILED]
        bare = Query(connection_id=self.KOYO, details="never")
        assert [ids(found) for found in at_once([lambda: reads.connections(bare)] * 50)] == [[self.KOYO]] * 50
        assert asked(sandbox) == [(self.KOYO, {})]

    def test_never_asks_for_no_credentials(self, sandbox: Sandbox, one_run: OneRun) -> None:
        """Neither by the argument nor by the configuration; then neither scopes nor tokens are known."""
        for reads, query in (
            (one_run(sandbox), Query(connection_id=self.KOYO, details="never")),
            (one_run(sandbox, {"ampersand:details": "never"}), Query(connection_id=self.KOYO)),
        ):
            ((connection, seen),) = reads.connections(query)
            assert (connection.scopes, seen.access_token) == (None, None)
            assert asked(sandbox) == [(self.KOYO, {})]

    def test_the_whole_list_answers_for_it(self, reads: Reads, sandbox: Sandbox) -> None:
        """Unless something lacks there, or details are always wanted."""
        reads.connections(Query())
        sandbox.clear_requests()
        ((connection, _),) = reads.connections(Query(connection_id=self.KOYO))
        assert connection.scopes == ["channels:read", "chat:write", "users:read"]
        assert ids(reads.connections(Query(connection_id=self.KOYO, details="never"))) == [self.KOYO]
        assert asked(sandbox) == []
        assert ids(reads.connections(Query(connection_id=self.KOYO, details="always"))) == [self.KOYO]
        assert asked(sandbox) == [self.DETAILED]

    def test_what_the_whole_list_leaves_out_is_asked_for(self, sandbox: Sandbox, one_run: OneRun) -> None:
        """Of that connection only, and once."""
        sandbox.list_credentials = False
        reads = one_run(sandbox)
        reads.connections(Query(details="never"))
        sandbox.clear_requests()
        for _ in range(2):
            ((connection, _),) = reads.connections(Query(connection_id=self.KOYO))
            assert connection.scopes == ["channels:read", "chat:write", "users:read"]
        assert asked(sandbox) == [self.DETAILED]

    def test_what_the_whole_list_does_not_have_is_asked_for(self, reads: Reads, sandbox: Sandbox) -> None:
        """It may be newer than the list; if there is none, that is an error, and shared."""
        reads.connections(Query())
        sandbox.connections = [*sandbox.connections, sent("new")]
        sandbox.clear_requests()
        assert ids(reads.connections(Query(connection_id="new"))) == ["new"]
        for _ in range(2):
            with pytest.raises(NotFoundError, match='reading connection "missing" of project "quickstart"'):
                reads.connections(Query(connection_id="missing"))
        assert [path for path, _ in asked(sandbox)] == ["new", "missing"]

    @pytest.mark.parametrize("listed", [False, True], ids=["alone", "listed"])
    def test_filters_hold_for_it_as_well(self, reads: Reads, sandbox: Sandbox, listed: bool) -> None:
        """A connection that exists and is another provider's isn't what was asked for."""
        if listed:
            reads.connections(Query())
        assert ids(reads.connections(Query(connection_id=self.KOYO, provider="slack"))) == [self.KOYO]
        assert reads.connections(Query(connection_id=self.KOYO, provider="salesforce")) == []
        assert reads.connections(Query(connection_id=self.KOYO, group_ref="lumen")) == []
        assert sandbox.counts["one"] <= 1


class TestAfter:
    """What depends on resources that may have changed an answer."""

    def test_it_asks_again_and_shares_with_its_like(self, reads: Reads, sandbox: Sandbox) -> None:
        """One list for all that wait for the same resources, in whatever order; the others keep theirs."""
        lumen = Query(group_ref="lumen")
        assert ids(reads.connections(lumen)) == LUMEN
        sandbox.connections = [sent("new", group={"groupRef": "lumen"})]
        assert ids(reads.connections(lumen)) == LUMEN
        assert ids(reads.after(["urn:b", "urn:a"]).connections(lumen)) == ["new"]
        assert ids(reads.after(["urn:a", "urn:b"]).connections(lumen)) == ["new"]
        assert ids(reads.connections(lumen)) == LUMEN
        assert ids(reads.after([]).connections(lumen)) == LUMEN
        assert sandbox.counts == {"list": 2}
        sandbox.connections = []
        assert ids(reads.after(["urn:a"]).connections(lumen)) == []
        assert sandbox.counts == {"list": 3}

    def test_an_older_whole_list_does_not_answer_it(self, reads: Reads, sandbox: Sandbox) -> None:
        """What lies there may be out of date; its own doesn't."""
        reads.connections(Query())
        sandbox.connections = [sent("new", group={"groupRef": "lumen"})]
        after = reads.after(["urn:a"])
        assert ids(after.connections(Query(group_ref="lumen"))) == ["new"]
        assert ids(after.connections(Query(connection_id="new"))) == ["new"]
        assert [path for path, _ in asked(sandbox)] == ["connections", "connections", "new"]
        assert ids(after.connections(Query())) == ids(after.connections(Query(group_ref="lumen"))) == ["new"]
        assert [path for path, _ in asked(sandbox)] == ["connections"]

    def test_details_are_asked_for_again(self, reads: Reads, sandbox: Sandbox) -> None:
        """In lists and by ID."""
        sandbox.connections = [sent("a", oauth2AuthorizationCode=grant(scopes=["old"]))]
        sandbox.list_credentials = False

        def scopes(query: Query, source: Reads) -> Sequence[str] | None:
            ((connection, _),) = source.connections(query)
            return connection.scopes

        by_id, bare = Query(connection_id="a"), Query(connection_id="a", details="never")
        assert scopes(Query(), reads) == scopes(by_id, reads) == ["old"]
        assert scopes(bare, reads) is None
        sandbox.update("a", oauth2AuthorizationCode=grant(scopes=["new"]))
        assert scopes(Query(), reads) == scopes(by_id, reads) == ["old"]
        first, second = reads.after(["urn:a"]), reads.after(["urn:b"])
        assert scopes(Query(), first) == scopes(by_id, first) == ["new"]
        sandbox.update("a", oauth2AuthorizationCode=grant(scopes=["newer"]))
        sandbox.clear_requests()
        assert scopes(by_id, second) == ["newer"]
        assert scopes(bare, second) is None
        assert [query for _, query in asked(sandbox)] == [{"includeRefreshToken": "true"}, {}]

    def test_projects(self, sandbox: Sandbox, one_run: OneRun) -> None:
        """The list of projects, too."""
        with Sandbox(projects=two_projects()) as server:
            reads = one_run(server)
            server.faults = ["slow:0.2@projects"]
            answers = at_once([reads.projects] * 8)
            assert [[project.name for project in found] for found in answers] == [["first", "second"]] * 8
            assert server.counts == {"projects": 1}
            reads.projects()
            assert server.counts == {"projects": 1}
            reads.after(["urn:a"]).projects()
            assert server.counts == {"projects": 2}
        assert sandbox.counts == {}

    def test_whether_a_project_lists_a_connection_is_always_asked(self, reads: Reads, sandbox: Sandbox) -> None:
        """Whatever is there already, it looks at the whole list."""
        reads.connections(Query())
        assert reads.lists(sandbox.project, "conn_koyo_slack")
        assert not reads.lists(sandbox.project, "new")
        sandbox.connections = [sent("new")]
        assert not reads.lists(sandbox.project, "conn_koyo_slack")
        assert reads.lists(sandbox.project, "new")
        assert asked(sandbox) == [("connections", {})] * 5
        with pytest.raises(NotFoundError):
            reads.lists("elsewhere", "new")


class TestRefresh:
    """Having access tokens refreshed that have expired."""

    @pytest.fixture(autouse=True)
    def expired(self, sandbox: Sandbox) -> None:
        """Connection ``old`` has an access token that has expired, ``young`` one that hasn't."""
        sandbox.connections = [
            sent("old", oauth2AuthorizationCode=grant(access="@now-1h", refresh="@now+9d")),
            sent("young", oauth2AuthorizationCode=grant(access="@now+1h", refresh="@now+9d")),
        ]

    def test_it_is_sent_where_a_token_has_expired(self, reads: Reads, sandbox: Sandbox) -> None:
        """Only there, and not where nobody asks for it."""
        reads.connections(Query())
        assert asked(sandbox) == [("connections", {})]
        for _ in range(2):
            found = {seen.id: seen for _, seen in reads.connections(Query(refresh="ifExpired"))}
        assert asked(sandbox) == [("old", {"includeRefreshToken": "true", "refresh": "ifExpired"})]
        assert found["old"].status == "created"
        assert found["young"].status == "working"

    def test_by_id_it_is_sent_in_any_case(self, reads: Reads, sandbox: Sandbox) -> None:
        """The API knows whether the token has expired; a read without it is another call."""
        for refresh in ("ifExpired", None, "ifExpired"):
            reads.connections(Query(connection_id="young", refresh=refresh))
        assert asked(sandbox) == [
            ("young", {"includeRefreshToken": "true", "refresh": "ifExpired"}),
            ("young", {"includeRefreshToken": "true"}),
        ]

    @pytest.mark.parametrize("connection_id", [None, "old"], ids=["list", "one"])
    def test_never_forbids_it(self, sandbox: Sandbox, connection_id: str | None, one_run: OneRun) -> None:
        """Where the configuration rules out the calls that refresh, that is said before anything is asked."""
        reads = one_run(sandbox, {"ampersand:details": "never"})
        with pytest.raises(SettingsError) as caught:
            reads.connections(Query(connection_id=connection_id, refresh="ifExpired"))
        assert str(caught.value) == (
            'refresh="ifExpired" refreshes by the calls that details="never" forbids: leave out one'
        )
        assert sandbox.counts == {}
        # The query's own word counts before the configuration's.
        query = Query(connection_id=connection_id, refresh="ifExpired", details="auto")
        assert "old" in ids(reads.connections(query))

    def test_an_unknown_word_in_the_configuration_is_refused(self, sandbox: Sandbox, one_run: OneRun) -> None:
        """With the nearest."""
        with pytest.raises(SettingsError) as caught:
            one_run(sandbox, {"ampersand:details": "allways"})
        expected = 'ampersand:details must be auto, always or never (did you mean "always"?)'
        assert str(caught.value) == expected


class TestAccessToken:
    """A connection's access token."""

    def test_it_is_asked_for_once(self, reads: Reads, sandbox: Sandbox) -> None:
        """However many use it at once or later; a refreshed one is another."""
        sandbox.connections = [sent("old", oauth2AuthorizationCode=grant(access="@now-1h", refresh="@now+9d"))]
        sandbox.faults = ["slow:0.2@one"]
        query = Query(connection_id="old")
        assert at_once([lambda: reads.access_token(query)] * 8) == ["CANARY-accessToken"] * 8
        assert reads.access_token(query) == "CANARY-accessToken"
        renewed = reads.access_token(Query(connection_id="old", refresh="ifExpired"))
        assert renewed.startswith("CANARY-accessToken-renewed-")
        assert asked(sandbox) == [
            ("old", {"includeCreds": "true"}),
            ("old", {"includeCreds": "true", "refresh": "ifExpired"}),
        ]

    def test_it_is_no_part_of_what_is_kept_in_clear(self, reads: Reads) -> None:
        """What a run keeps for later doesn't show it."""
        token = reads.access_token(Query(connection_id="conn_koyo_slack"))
        assert token
        assert token not in repr(reads._answers)
        assert not [key for key, kept in reads._answers.items() if token in repr((key, kept.result()))]

    def test_without_an_id_there_is_none(self, reads: Reads, sandbox: Sandbox) -> None:
        """A query by filters names no connection."""
        with pytest.raises(SettingsError) as caught:
            reads.access_token(Query(group_ref="koyo"))
        assert str(caught.value) == 'connection_id must be text, for example connection_id="…"'
        assert sandbox.counts == {}

    def test_a_connection_without_one_is_an_error_that_is_shared(self, reads: Reads, sandbox: Sandbox) -> None:
        """It names the connection and its scheme."""
        for _ in range(2):
            with pytest.raises(AnswerError) as caught:
                reads.access_token(Query(connection_id="conn_lumen_gong"))
            assert str(caught.value) == (
                f'reading the access token of connection "conn_lumen_gong" of project "quickstart" at {sandbox.url}: '
                "the API gave no access token for it (authScheme apiKey); check the connection's provider and ID"
            )
        assert sandbox.counts == {"one": 1}


class TestFailures:
    """What doesn't come."""

    def test_an_outage_is_waited_for_once(self, sandbox: Sandbox, one_run: OneRun) -> None:
        """All who ask at once wait for the same repetitions; who asks later hears at once what came of them."""
        sandbox.faults = ["503@list"]
        reads = one_run(sandbox, timeout=1)
        errors = at_once([lambda: outcome(lambda: reads.connections(Query()))] * 20)
        assert {type(error) for error in errors} == {ServerError}
        assert len({str(error) for error in errors}) == 1
        tries = sandbox.counts["list"]
        assert tries <= 2, "a second's patience has room for no more"
        for _ in range(5):
            with pytest.raises(ServerError, match="503 The sandbox was told to answer with 503"):
                reads.connections(Query())
        assert sandbox.counts == {"list": tries}

    def test_what_depends_on_a_resource_asks_again(self, reads: Reads, sandbox: Sandbox) -> None:
        """The failure is that of the others."""
        sandbox.faults = ["503,times=1,retryable=false@list"]
        for _ in range(2):
            with pytest.raises(ServerError):
                reads.connections(Query())
        assert len(reads.after(["urn:a"]).connections(Query())) == len(sandbox.connections)
        assert sandbox.counts == {"list": 2}

    @pytest.mark.parametrize("details", ["auto", "never"])
    def test_by_id_it_is_shared_too(self, reads: Reads, sandbox: Sandbox, details: Any) -> None:
        """With and without details; another connection is asked for all the same."""
        sandbox.faults = ["503,times=1,retryable=false@one"]
        for _ in range(3):
            with pytest.raises(ServerError):
                reads.connections(Query(connection_id="conn_koyo_slack", details=details))
        assert sandbox.counts == {"one": 1}
        assert ids(reads.connections(Query(connection_id="conn_lumen_gong", details=details))) == ["conn_lumen_gong"]

    def test_no_key_is_said_at_once(self, sandbox: Sandbox) -> None:
        """Before anything is asked."""
        with pytest.raises(SettingsError, match=r"^no API key; run: pulumi config set --secret ampersand:apiKey <key>"):
            Reads(Settings(), {}, sandbox.environment | {"AMP_API_KEY": ""})
        assert sandbox.counts == {}


class Wire:
    """An API in this process whose first answer is an exception, held back until others wait for it, too.

    Args:
        error: What comes instead of an answer, once.
        at: The end of the path of the call that fails.
    """

    def __init__(self, error: BaseException, at: str) -> None:
        self._error: BaseException | None = error
        self._at = at
        self.met = threading.Event()
        self.go = threading.Event()
        self.calls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        path = request.url.path
        self.calls.append(path.rpartition("/")[2])
        if path.endswith(self._at):
            self.met.set()
            self.go.wait(10)
            error, self._error = self._error, None
            if error is not None:
                raise error
        connection = sent("a", oauth2AuthorizationCode=grant(access="@never"))
        if path.endswith("/connections"):
            return httpx.Response(200, content=answer({**connection, "oauth2AuthorizationCode": None}))
        if path.endswith("/projects"):
            return httpx.Response(200, content=answer({"id": "proj_1", "name": "first"}))
        return httpx.Response(200, json=connection)


class ReadsOver(Reads):
    """Reads over a wire of the test's own, and how many questions there were."""

    def __init__(self, wire: Callable[[httpx.Request], httpx.Response], **options: Any) -> None:
        environ = {"AMP_API_KEY": "key", "AMP_API_URL": "http://api.invalid", "AMP_PROJECT": "first"}
        super().__init__(Settings(), {}, environ, **options)
        self.questions: list[Any] = []
        self._client.close()
        access = Access(ApiKey("key"), "http://api.invalid")
        self._client = Client(access, transport=httpx.MockTransport(wire))

    def _shared(self, key: Any, read: Callable[[], _T]) -> _T:
        self.questions.append(key)
        return super()._shared(key, read)


class Held:
    """An API in this process that answers each call when it is let, in another way every time.

    Args:
        failing: The numbers of the calls that it refuses, from 1 on.
    """

    def __init__(self, *failing: int) -> None:
        self._failing = failing
        self._lock = threading.Lock()
        self._met = threading.Semaphore(0)
        self._go = threading.Semaphore(0)
        self.calls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        path = request.url.path
        with self._lock:
            self.calls.append(path.rpartition("/")[2])
            number = len(self.calls)
        self._met.release()
        assert self._go.acquire(timeout=10)
        if number in self._failing:
            return httpx.Response(403, json={"detail": f"answer {number}"})
        if path.endswith("/connections"):
            return httpx.Response(200, content=answer(sent(f"answer {number}")))
        if path.endswith("/projects"):
            return httpx.Response(200, content=answer({"id": f"answer {number}", "name": "first"}))
        return httpx.Response(200, json=sent("a", provider=f"answer {number}"))

    def wait(self) -> None:
        """Until there is one call more."""
        assert self._met.acquire(timeout=10)

    def let(self, calls: int = 1) -> None:
        """Answer so many calls, those that are still to come included."""
        self._go.release(calls)


class Asking:
    """Asks questions, each in a thread of its own.

    Args:
        reads: What is asked.
        ask: Asks it.
    """

    def __init__(self, reads: ReadsOver, ask: Callable[[Reads], object]) -> None:
        self._reads = reads
        self._ask = ask
        self._threads = ThreadPoolExecutor(64)
        self.close = self._threads.shutdown

    def begin(self, times: int = 1) -> list[Future[object]]:
        """Ask so many times; all wait for an answer when this returns."""
        before = len(self._reads.questions)
        begun = [self._threads.submit(outcome, lambda: self._ask(self._reads)) for _ in range(times)]
        while len(self._reads.questions) < before + times:
            time.sleep(0.001)
        time.sleep(0.05)  # from being counted to waiting
        return begun


def told(begun: Sequence[Future[object]]) -> list[object]:
    """What came of questions: answers, and the sentences of errors."""
    found = [one.result(10) for one in begun]
    return [str(one).partition(": ")[2].partition(". ")[0] if isinstance(one, Exception) else one for one in found]


class TestNotKept:
    """Reads that nobody can tell the order of: each answer is younger than the question."""

    ASK: Mapping[str, Callable[[Reads], object]] = {
        "list": lambda reads: ids(reads.connections(Query())),
        "filtered": lambda reads: ids(reads.connections(Query(provider="salesforce"))),
        "bare": lambda reads: [
            connection.provider for connection, _ in reads.connections(Query(connection_id="a", details="never"))
        ],
        "projects": lambda reads: [project.id for project in reads.projects()],
    }

    @pytest.fixture(params=ASK)
    def asking(self, request: pytest.FixtureRequest) -> Iterator[Callable[[Held], Asking]]:
        """Each kind of question."""
        with contextlib.ExitStack() as ended:
            yield lambda wire: ended.enter_context(
                contextlib.closing(Asking(ReadsOver(wire, keep=False), self.ASK[request.param]))
            )

    def test_who_asks_meanwhile_has_the_next_answer(self, asking: Callable[[Held], Asking]) -> None:
        """An answer that is on its way was asked for too early; twenty who find one on its way share the next."""
        wire = Held()
        asked = asking(wire)
        first = asked.begin()
        wire.wait()
        later = asked.begin(20)
        assert len(wire.calls) == 1
        wire.let()
        assert told(first) == [["answer 1"]]
        wire.wait()
        last = asked.begin(20)
        wire.let(2)
        assert told(later) == [["answer 2"]] * 20
        assert told(last) == [["answer 3"]] * 20
        assert len(wire.calls) == 3

    def test_who_asks_later_asks_anew(self, asking: Callable[[Held], Asking]) -> None:
        """Nothing is kept."""
        wire = Held()
        wire.let(3)
        asked = asking(wire)
        assert [told(asked.begin()) for _ in range(3)] == [[[f"answer {number}"]] for number in (1, 2, 3)]
        assert asked._reads._answers == asked._reads._asked == {}

    def test_a_failure_is_that_of_those_who_wait_for_it(self, asking: Callable[[Held], Asking]) -> None:
        """Neither who found it on its way nor who asks later is told it."""
        wire = Held(1, 3)
        asked = asking(wire)
        first = asked.begin()
        wire.wait()
        second = asked.begin(2)
        wire.let()
        wire.wait()
        third = asked.begin(20)
        wire.let(2)
        assert told(first) == ["403 answer 1"]
        assert told(second) == [["answer 2"]] * 2
        assert told(third) == ["403 answer 3"] * 20
        wire.let()
        assert told(asked.begin()) == [["answer 4"]]
        assert asked._reads._answers == asked._reads._asked == {}

    def test_another_question_is_not_held_up(self, sandbox: Sandbox) -> None:
        """Filters are calls of their own, though the whole list was there; so is every single connection."""
        reads = Reads(Settings(), {}, sandbox.environment, keep=False)
        with contextlib.closing(reads):
            sandbox.faults = ["slow:0.3,times=1@list"]
            whole = threading.Thread(target=reads.connections, args=[Query()])
            whole.start()
            while not sandbox.requests:
                time.sleep(0.01)
            assert ids(reads.connections(Query(group_ref="lumen"))) == LUMEN
            assert whole.is_alive()
            whole.join(10)
            assert ids(reads.connections(Query(group_ref="lumen"))) == LUMEN
            for _ in range(2):
                assert ids(reads.connections(Query(connection_id="conn_koyo_slack"))) == ["conn_koyo_slack"]
                assert reads.access_token(Query(connection_id="conn_koyo_slack"))
            assert [path for path, _ in asked(sandbox)] == ["connections"] * 3 + ["conn_koyo_slack"] * 4

    def test_details_are_asked_for_again(self, sandbox: Sandbox) -> None:
        """What a single call told lately may not be true any more either."""
        sandbox.list_credentials = False
        reads = Reads(Settings(), {}, sandbox.environment, keep=False)
        with contextlib.closing(reads):
            counts = []
            for _ in range(2):
                reads.connections(Query(provider="slack"))
                counts.append(dict(sandbox.counts))
        assert counts == [{"list": 1, "one": 1}, {"list": 2, "one": 2}]


class TestUnexpected:
    """A defect, or Ctrl-C, while others wait."""

    @pytest.mark.parametrize("error", [RuntimeError("defect"), KeyboardInterrupt()], ids=["defect", "interrupt"])
    @pytest.mark.parametrize(
        ("at", "ask"),
        [
            pytest.param("/connections", lambda reads: ids(reads.connections(Query())), id="list"),
            pytest.param("/a", lambda reads: ids(reads.connections(Query())), id="details"),
            pytest.param("/a", lambda reads: ids(reads.connections(Query(connection_id="a"))), id="one"),
            pytest.param(
                "/a", lambda reads: ids(reads.connections(Query(connection_id="a", details="never"))), id="bare"
            ),
            pytest.param("/a", lambda reads: reads.access_token(Query(connection_id="a")), id="token"),
            pytest.param("/projects", lambda reads: [project.id for project in reads.projects()], id="projects"),
        ],
    )
    def test_nobody_is_left_waiting(self, error: BaseException, at: str, ask: Callable[[Reads], object]) -> None:
        """Who waits hears of it, too; who asks later is answered as if nothing had been."""
        wire = Wire(error, at)
        reads = ReadsOver(wire)
        outcomes: list[object] = []
        threads = [
            threading.Thread(target=lambda: outcomes.append(outcome(lambda: ask(reads))), daemon=True) for _ in range(5)
        ]
        threads[0].start()
        assert wire.met.wait(10)
        for thread in threads[1:]:
            thread.start()
        time.sleep(0.2)  # so that they wait
        wire.go.set()
        for thread in threads:
            thread.join(10)
        assert not [thread for thread in threads if thread.is_alive()]
        assert [type(one) for one in outcomes] == [type(error)] * 5
        assert wire.calls.count(at[1:]) == 1

        assert ask(reads) in (["a"], ["proj_1"], "CANARY-accessToken")
        assert wire.calls.count(at[1:]) == 2

    def test_what_has_come_stays(self) -> None:
        """Details that were there before the interruption aren't asked for again."""
        wire = Wire(KeyboardInterrupt(), "/connections")
        reads = ReadsOver(wire)
        assert ids(reads.connections(Query(connection_id="a"))) == ["a"]
        wire.go.set()
        with pytest.raises(KeyboardInterrupt):
            reads.connections(Query())
        assert ids(reads.connections(Query())) == ["a"]
        assert wire.calls == ["a", "connections", "connections"]


def test_many_data_sources_over_one_project_cost_one_list(one_run: OneRun) -> None:
    """Data sources for each of many customers cost one list."""
    with Sandbox("large", count=2_000) as server:
        reads = one_run(server)
        everything = reads.connections(Query())
        assert len(everything) == 2_000
        references = [connection.group.ref for connection, _ in everything[:50] if connection.group is not None]
        assert [len(reads.connections(Query(group_ref=reference))) for reference in references] == [1] * 50
        assert server.counts == {"list": 1}
