"""The command ``pulumi-ampersand audit``: which connections it judges, by which rules, at what time, against what."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from audit_runs import (
    AS_OF,
    BAD,
    CLEAN,
    EXPIRING,
    KEY,
    SCRIPT,
    SECONDS,
    UNREFRESHABLE,
    Run,
    audit,
    environment,
    left_in,
    write,
)
from audits import CONFIGURATION as EVERY_STATE
from audits import CONNECTIONS
from mixed_expectations import BREAKS, CONFIGURATION, EVERY_RULE, NOT_EVALUATED
from pulumi_ampersand.sandbox import Project, Sandbox
from pulumi_ampersand_policies.pack import Servicer
from pulumi_ampersand_policies.profiles import PROFILES, profile
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.testing import NOW, at, connection, grant, inventory
from test_pack import Direct, Pack


@pytest.fixture
def mixed() -> Iterator[Sandbox]:
    """The API with the scenario ``mixed``, as it is at `NOW`."""
    with Sandbox("mixed", now=NOW, api_key=KEY) as running:
        yield running


def live(server: Sandbox, folder: Path, *arguments: str | Path) -> Run:
    """Judge the sandbox's project, at `NOW` unless told otherwise."""
    time = () if "--as-of" in arguments else ("--as-of", AS_OF)
    return audit(folder, *arguments, *time, "--format", "json", environ=server.environment)


class TestLive:
    """Connections that the API tells of."""

    def test_each_connection_breaks_what_its_table_says(self, mixed: Sandbox, tmp_path: Path) -> None:
        """Neither more nor less, and what can't be judged is told."""
        write(tmp_path, "policy.json", CONFIGURATION)
        run = live(mixed, tmp_path, "--config", "policy.json")
        found = {name: {rule for rule, broken in run.findings if broken == name} for name in BREAKS}
        assert found == BREAKS
        assert len(run.findings) == sum(map(len, BREAKS.values()))
        gaps = {(item["connection"], item["rule"]) for item in run.report["notEvaluated"]}
        assert gaps == {(name, rule) for name, rules in NOT_EVALUATED.items() for rule in rules}

    def test_no_credential_is_written(self, mixed: Sandbox, tmp_path: Path) -> None:
        """Neither into a report of any form, nor into what is kept."""
        forms = [
            part for name in ("csv", "sarif", "junit", "markdown", "html") for part in ("--format", f"{name}={name}")
        ]
        run = live(mixed, tmp_path, "--save", "kept", "--verbose", *forms)
        written = [path.read_text("utf-8") for path in tmp_path.rglob("*") if path.is_file()]
        assert len(written) == 6
        text = "".join([run.out.decode(), run.err, *written])
        assert [secret for secret in mixed.secrets if secret in text] == []

    def test_what_was_kept_is_judged_alike(self, mixed: Sandbox, tmp_path: Path) -> None:
        """A day later, say; by its findings nobody can tell it from the API."""
        write(tmp_path, "policy.json", EVERY_RULE)
        run = live(mixed, tmp_path, "--config", "policy.json", "--save", "kept")
        (kept,) = (tmp_path / "kept").iterdir()
        again = audit(tmp_path, "--input", kept, "--config", "policy.json", "--as-of", AS_OF, "--format", "json")
        for part in ("findings", "notEvaluated", "summary", "rules"):
            assert again.report[part] == run.report[part]

    @pytest.mark.parametrize("details", ["auto", "always", "never"])
    def test_details(self, details: str, mixed: Sandbox, tmp_path: Path) -> None:
        """Single connections are asked for where the list leaves something out, for all, or for none."""
        mixed.list_credentials = False
        run = live(mixed, tmp_path, "--details", details)
        asked = mixed.counts["one"]
        assert asked == {"auto": 10, "always": 12, "never": 0}[details]
        assert (("token-expiry", "conn_fjordlys_microsoft") in run.findings) == (details != "never")

    def test_projects_by_id_and_name(self, tmp_path: Path) -> None:
        """Several at once; findings of all of them, in the order of the options among the sources."""
        projects = [
            Project(id=f"proj_{name}", name=name, connections=[{**BAD, "id": f"conn_{name}"}])
            for name in ("crm", "erp", "hr")
        ]
        with Sandbox(connections=[], projects=projects, api_key=KEY, now=NOW) as server:
            run = live(server, tmp_path, "--project", "hr", "--project", "proj_crm", "--project", "hr")
        assert [source["name"] for source in run.report["sources"]] == ["hr", "proj_crm"]
        bad = [name for rule, name in run.findings if rule == "no-bad-credentials"]
        assert sorted(bad) == ["conn_crm", "conn_hr"]


WAIVER = {"connection": "*", "reason": "moving", "approvedBy": "Jo", "expires": "2026-11-24"}
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "mixed": CONFIGURATION,
    "every-rule": {name: value for name, value in EVERY_RULE.items() if name != "readable-connections"},
    "levels": {"all": "advisory", "token-expiry": "mandatory", "no-bad-credentials": "disabled"},
    "options": {"token-expiry": {"minDays": 400.0}, "credential-age": {"maxDays": 100, "assume": "createTime"}},
    "waivers": {
        "no-bad-credentials": {"waivers": [WAIVER]},
        "token-expiry": {"waivers": [{**WAIVER, "provider": "g*"}]},
    },
    "expired-waivers": {"no-bad-credentials": {"waivers": [{**WAIVER, "expires": "2026-11-23"}]}},
    "waivers-disabled": {"waivers": "disabled", "no-bad-credentials": {"waivers": [WAIVER]}},
    "tolerated": {"token-expiry": {"tolerate": 3}, "refreshable": {"tolerate": "5%"}},
    **{name: json.loads(profile(name)) for name in PROFILES},
}
"""Configurations, each of which both are given."""


@pytest.mark.parametrize("name", POLICIES)
def test_the_verdict_is_the_packs(name: str, mixed: Sandbox, tmp_path: Path) -> None:
    """The pack's gate and the audit, given one file and one API, say the same in the same words."""
    content = dict(POLICIES[name])
    readable = content.get("readable-connections", {})
    level = {"enforcementLevel": readable} if isinstance(readable, str) else readable
    content["readable-connections"] = {**level, "gate": True, "maxReported": 1000}
    file = write(tmp_path, "policy.json", content)
    pack = Pack(Direct(Servicer(environ=mixed.environment, now=lambda: NOW)))
    pack.configure_stack({})
    pack.configure(json.loads(file.read_text()))
    said = pack.deploy()
    run = live(mixed, tmp_path, "--config", file)
    levels = {"open": "{enforcement}", "waived": "advisory", "tolerated": "advisory"}
    texts = {
        "open": "{message}. {remediation}",
        "tolerated": "{message}. Tolerated. {remediation}",
        "waived": "{message}. Waived until {waiver[expires]}, approved by {waiver[approvedBy]}: {waiver[reason]}",
    }
    # How many there are more than are tolerated is a line of the pack's own.
    assert sorted(violation for violation in said if "more than are tolerated" not in violation[2]) == sorted(
        (found["rule"], levels[found["state"]].format(**found), texts[found["state"]].format(**found))
        for found in run.report["findings"]
    )
    assert run.code == int(any(level == "mandatory" for _, level, _ in said))


def test_a_mistake_is_reported_in_the_packs_words(mixed: Sandbox, tmp_path: Path) -> None:
    """What is wrong with a configuration is the same for both."""
    content = {"token-expiry": {"minDay": 3}, "required-scopes": "mandatory", "allowed-provider": {"deny": ["x"]}}
    file = write(tmp_path, "policy.json", content)
    checked = subprocess.run(
        [SCRIPT, "config", "check", file],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    run = live(mixed, tmp_path, "--config", file)
    assert (run.code, checked.returncode) == (2, 2)
    assert run.err == checked.stderr
    assert len(run.err.splitlines()) == 3


FILTERS: Mapping[str, tuple[str, ...]] = {
    "provider": ("--provider", "salesforce"),
    "group": ("--group-ref", "koyo"),
    "consumer": ("--consumer-ref", "koyo-田中"),
    "two": ("--provider", "slack", "--group-ref", "koyo"),
    "none-matches": ("--provider", "slack", "--group-ref", "brightwater"),
    "case": ("--provider", "Salesforce"),
}


@pytest.mark.parametrize("kind", FILTERS)
def test_filters_choose_alike_from_every_source(kind: str, mixed: Sandbox, tmp_path: Path) -> None:
    """From the API, a saved answer, what an audit kept, and a state."""
    write(tmp_path, "answer.json", mixed.connections)
    connections, observations = inventory(*mixed.connections, project="").documents()
    resource = {
        "urn": "urn:pulumi:dev::test::pulumi-python:dynamic/ampersand:Connections::crm",
        "type": "pulumi-python:dynamic/ampersand:Connections",
        "inputs": {"connections": connections, "observations": observations},
    }
    write(tmp_path, "state.json", {"version": 3, "deployment": {"resources": [resource]}})
    live(mixed, tmp_path, "--save", "kept")
    (kept,) = (tmp_path / "kept").iterdir()
    filters = FILTERS[kind]
    runs = [
        live(mixed, tmp_path, *filters),
        *(
            audit(tmp_path, "--input", file, *filters, "--as-of", AS_OF, "--format", "json")
            for file in ("answer.json", kept, "state.json")
        ),
    ]
    first = runs[0]
    expected = {"provider": 4, "group": 1, "consumer": 1, "two": 1, "none-matches": 0, "case": 0}[kind]
    assert [run.report["summary"]["connections"] for run in runs] == [expected] * 4
    assert [run.findings for run in runs] == [first.findings] * 4
    assert [run.code for run in runs] == [first.code] * 4


class TestTime:
    """The time to judge by."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A refresh token that expires on 2026-12-31 at noon, and a waiver until Christmas."""
        write(
            tmp_path,
            "answer.json",
            [connection("conn_1", oauth2AuthorizationCode=grant(refresh="2026-12-31T12:00:00Z"))],
        )
        waiver = {"connection": "conn_1", "reason": "x", "approvedBy": "jo", "expires": "2026-12-25"}
        write(tmp_path, "policy.json", {"token-expiry": {"minDays": 7, "waivers": [waiver]}})
        return tmp_path

    @pytest.mark.parametrize(
        ("asked", "as_of", "code"),
        [
            ("2026-12-24", "2026-12-24T00:00:00Z", 0),
            ("2026-12-25", "2026-12-25T00:00:00Z", 1),
            ("2026-12-24T12:00:00Z", "2026-12-24T12:00:00Z", 0),
            ("2026-12-24T12:00:01Z", "2026-12-24T12:00:01Z", 1),
            ("2026-12-24T14:00:00+02:00", "2026-12-24T12:00:00Z", 0),
            ("2026-12-24T12:00:00-00:01", "2026-12-24T12:01:00Z", 1),
            ("2026-12-24T12:00:00.5Z", "2026-12-24T12:00:00Z", 1),
            ("2026-12-24t12:00:00z", "2026-12-24T12:00:00Z", 0),
            ("2027-06-01", "2027-06-01T00:00:00Z", 1),
        ],
    )
    def test_a_day_or_a_time(self, asked: str, as_of: str, code: int, folder: Path) -> None:
        """A day begins at midnight in UTC; an offset counts; the report has it in UTC, and expiry goes by it."""
        run = audit(folder, "--input", "answer.json", "--as-of", asked, "--format", "json")
        assert (run.report["asOf"], run.code) == (as_of, code)

    @pytest.mark.parametrize(
        ("asked", "state", "waiver"),
        [
            ("2026-12-25T00:00:00Z", "waived", "used"),
            ("2026-12-25T23:59:59Z", "waived", "used"),
            ("2026-12-26T00:00:00Z", "open", "expired"),
            ("2026-12-26T00:30:00+01:00", "waived", "used"),
            ("2026-12-25T23:30:00-01:00", "open", "expired"),
        ],
    )
    def test_waivers_end_by_it(self, asked: str, state: str, waiver: str, folder: Path) -> None:
        """A waiver's last day is inclusive, in UTC, whatever the offset and the clock say."""
        run = audit(folder, "--input", "answer.json", "--config", "policy.json", "--as-of", asked, "--format", "json")
        (finding,) = run.report["findings"]
        assert (finding["state"], [use["state"] for use in run.report["waivers"]]) == (state, [waiver])
        assert run.code == int(state == "open")
        assert ("its waiver expired after 2026-12-25" in finding["message"]) == (state == "open")

    def test_ignored_waivers_are_not_listed_as_used(self, folder: Path) -> None:
        """``--no-waivers`` shows what there would be without them."""
        arguments = ("--input", "answer.json", "--config", "policy.json", "--as-of", "2026-12-25", "--format", "json")
        run = audit(folder, *arguments, "--no-waivers")
        (finding,) = run.report["findings"]
        assert (run.code, finding["state"], finding["waiver"]) == (1, "open", None)
        assert [use["state"] for use in run.report["waivers"]] == []

    def test_now_is_the_default(self, folder: Path) -> None:
        """Without it, the clock counts."""
        run = audit(folder, "--input", "answer.json", "--format", "json")
        assert run.report["asOf"] > "2026-01-01"
        assert audit(folder, "--input", "answer.json", "--as-of", "2001-01-01", "--format", "json").code == 0


class TestBaseline:
    """An earlier report, to compare with."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A baseline with three findings: ``conn_bad`` and ``conn_expiring`` mandatory, one advisory."""
        write(tmp_path, "before.json", [BAD, EXPIRING, UNREFRESHABLE])
        run = audit(tmp_path, "--input", "before.json", "--as-of", AS_OF, "--format", "json=baseline.json")
        assert run.code == 1
        return tmp_path

    @staticmethod
    def compared(folder: Path, connections: list[Any], *options: str | Path) -> Run:
        """Judge these connections against the baseline."""
        write(folder, "now.json", connections)
        common = ("--baseline", "baseline.json", "--as-of", AS_OF, "--format", "json")
        return audit(folder, "--input", "now.json", *common, *options)

    @staticmethod
    def past(run: Run, part: str) -> list[str]:
        """The connections of the baseline's findings that became this."""
        return [finding["connection"] for finding in run.report["baseline"][part]]

    def test_nothing_changed(self, folder: Path) -> None:
        """What was known stays a finding that breaks, unless only new ones do."""
        run = self.compared(folder, [BAD, EXPIRING, UNREFRESHABLE])
        comparison = run.report["baseline"]
        assert comparison == {"asOf": AS_OF, "new": 0, "unchanged": 3, "fixed": [], "notJudged": []}
        assert [finding["new"] for finding in run.report["findings"]] == [False] * 3
        assert run.code == 1
        assert self.compared(folder, [BAD, EXPIRING, UNREFRESHABLE], "--fail-on-new").code == 0

    def test_new_fixed_and_unchanged(self, folder: Path) -> None:
        """Each finding is one of them."""
        newly = {**BAD, "id": "conn_new", "providerWorkspaceRef": "new"}
        run = self.compared(folder, [BAD, {**CLEAN, "id": "conn_expiring"}, UNREFRESHABLE, newly], "--fail-on-new")
        assert {f["connection"]: f["new"] for f in run.report["findings"]} == {
            "conn_bad": False,
            "conn_new": True,
            "conn_unrefreshable": False,
        }
        assert (run.report["baseline"]["new"], run.report["baseline"]["unchanged"]) == (1, 2)
        assert (self.past(run, "fixed"), self.past(run, "notJudged")) == (["conn_expiring"], [])
        assert (run.code, run.report["summary"]["breaking"]) == (1, 1)

    def test_a_connection_that_is_gone_is_fixed(self, folder: Path) -> None:
        """Its project was read, and it isn't there any more."""
        run = self.compared(folder, [BAD])
        assert sorted(self.past(run, "fixed")) == ["conn_expiring", "conn_unrefreshable"]

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            ((), 0),
            (("--fail-on", "low"), 1),
            (("--fail-on", "medium"), 1),
            (("--fail-on", "high"), 0),
            (("--fail-on", "low", "--severity", "critical"), 1),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
    )
    def test_new_ones_break_by_the_same_measure(self, options: tuple[str, ...], code: int, folder: Path) -> None:
        """A new advisory finding of medium severity: with ``--fail-on-new`` levels and severities count as always."""
        newly = {**UNREFRESHABLE, "id": "conn_new", "providerWorkspaceRef": "new"}
        run = self.compared(folder, [BAD, EXPIRING, UNREFRESHABLE, newly], "--fail-on-new", *options)
        assert (run.code, run.report["baseline"]["new"]) == (code, 1)

    def test_a_finding_whose_waiver_expired_is_new(self, folder: Path) -> None:
        """Nobody knew of it as a problem as long as it was waived."""
        waiver = {"connection": "conn_bad", "reason": "x", "approvedBy": "jo", "expires": "2026-11-24"}
        write(folder, "policy.json", {"no-bad-credentials": {"waivers": [waiver]}})
        write(folder, "now.json", [BAD])
        arguments = ("--input", "now.json", "--config", "policy.json")
        before = audit(folder, *arguments, "--as-of", "2026-11-24", "--format", "json=waived.json")
        assert before.code == 0
        common = (*arguments, "--baseline", "waived.json", "--fail-on-new", "--format", "json")
        assert audit(folder, *common, "--as-of", "2026-11-24").code == 0
        run = audit(folder, *common, "--as-of", "2026-11-25")
        assert (run.code, run.report["baseline"]["new"], run.report["baseline"]["unchanged"]) == (1, 1, 0)

    def test_a_finding_that_is_waived_now_is_neither_new_nor_fixed(self, folder: Path) -> None:
        """It is still there."""
        waiver = {"connection": "conn_bad", "reason": "x", "approvedBy": "jo", "expires": "2026-11-24"}
        write(folder, "policy.json", {"no-bad-credentials": {"waivers": [waiver]}})
        run = self.compared(folder, [BAD, EXPIRING, UNREFRESHABLE], "--config", "policy.json")
        assert run.report["baseline"] == {"asOf": AS_OF, "new": 0, "unchanged": 2, "fixed": [], "notJudged": []}

    def test_what_could_not_be_read_is_not_fixed(self, folder: Path) -> None:
        """A file that is missing proves nothing, nor does an API that is."""
        run = self.compared(folder, [BAD], "--input", "missing.json")
        assert run.code == 3
        assert self.past(run, "fixed") == []
        assert sorted(self.past(run, "notJudged")) == ["conn_expiring", "conn_unrefreshable"]

    def test_projects_that_were_read_are_fixed_beside_one_that_was_not(self, tmp_path: Path) -> None:
        """A failing project keeps its own findings open, not those of others."""
        projects = [
            Project(id=name, name=name, connections=[{**BAD, "id": f"conn_{name}", "projectId": name}])
            for name in ("crm", "erp")
        ]
        arguments = ("--project", "crm", "--project", "erp")
        with Sandbox(connections=[], projects=projects, api_key=KEY, now=NOW) as server:
            before = live(server, tmp_path, *arguments)
            (tmp_path / "baseline.json").write_bytes(before.out)
            assert len([rule for rule, _ in before.findings if rule == "no-bad-credentials"]) == 2
            server.set_connections("crm", [{**CLEAN, "id": "conn_crm", "projectId": "crm"}])
            server.set_connections("erp", [{"id": "no provider"}])
            run = live(server, tmp_path, *arguments, "--baseline", "baseline.json")
        assert run.code == 3
        assert self.past(run, "fixed") == ["conn_crm"]
        assert set(self.past(run, "notJudged")) == {"conn_erp"}

    def test_a_rule_that_is_switched_off_fixes_nothing(self, folder: Path) -> None:
        """What isn't looked for isn't found."""
        write(folder, "policy.json", {"no-bad-credentials": "disabled"})
        run = self.compared(folder, [BAD, EXPIRING, UNREFRESHABLE], "--config", "policy.json")
        assert (self.past(run, "fixed"), self.past(run, "notJudged")) == ([], ["conn_bad"])

    def test_what_a_filter_leaves_out_is_not_fixed(self, folder: Path) -> None:
        """Nobody looked at it this time."""
        run = self.compared(folder, [{**BAD, "provider": "hubspot"}, EXPIRING, UNREFRESHABLE], "--provider", "hubspot")
        assert self.past(run, "fixed") == []

    def test_a_report_may_replace_its_baseline(self, folder: Path) -> None:
        """A file that is compared with and written: read first, then replaced."""
        write(folder, "now.json", [BAD])
        arguments = ("--input", "now.json", "--baseline", "baseline.json", "--as-of", AS_OF)
        assert audit(folder, *arguments, "--format", "json=baseline.json").code == 1
        first = json.loads((folder / "baseline.json").read_text())
        assert len(first["baseline"]["fixed"]) == 2
        audit(folder, *arguments, "--format", "json=baseline.json")
        assert json.loads((folder / "baseline.json").read_text())["baseline"]["fixed"] == []

    def test_a_baseline_from_standard_input(self, folder: Path) -> None:
        """As any file."""
        write(folder, "now.json", [BAD])
        run = audit(
            folder,
            *("--input", "now.json", "--baseline", "-", "--as-of", AS_OF, "--format", "json"),
            stdin=(folder / "baseline.json").read_bytes(),
        )
        assert run.report["baseline"]["unchanged"] == 1

    def test_a_baseline_with_a_byte_order_mark(self, folder: Path) -> None:
        """As some editors and shells write it."""
        file = folder / "baseline.json"
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
        assert self.compared(folder, [BAD]).report["baseline"]["unchanged"] == 1


class TestStandardInput:
    """``cat answer.json | pulumi-ampersand audit --input -``."""

    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order-mark"])
    @pytest.mark.parametrize("kind", ["answer", "state", "kept", "single"])
    def test_all_that_a_file_can_be(self, kind: str, mark: bytes, tmp_path: Path) -> None:
        """A list, a state, what an audit kept, a single connection; with or without a mark that Windows writes."""
        connections, observations = inventory(BAD).documents()
        resource = {
            "urn": "urn:pulumi:dev::test::pulumi-python:dynamic/ampersand:Connections::crm",
            "type": "pulumi-python:dynamic/ampersand:Connections",
            "inputs": {"connections": connections, "observations": observations},
        }
        content = {
            "answer": json.dumps([BAD]).encode(),
            "state": json.dumps({"version": 3, "deployment": {"resources": [resource]}}).encode(),
            "kept": inventory(BAD).saved("proj_1"),
            "single": json.dumps(BAD).encode(),
        }[kind]
        (tmp_path / "file.json").write_bytes(mark + content)
        common = ("--as-of", AS_OF, "--format", "json")
        piped = audit(tmp_path, "--input", "-", *common, stdin=mark + content)
        read = audit(tmp_path, "--input", "file.json", *common)
        assert piped.code == read.code == 1, piped.err
        assert piped.findings == read.findings == [("no-bad-credentials", "conn_bad")]
        source = {
            "kind": "state" if kind == "state" else "answer",
            "connections": 1,
            "status": "complete",
            "error": None,
        }
        assert piped.report["sources"] == [{**source, "name": "standard input"}]

    def test_beside_other_sources(self, tmp_path: Path) -> None:
        """Once, among files."""
        write(tmp_path, "answer.json", [EXPIRING])
        run = audit(
            tmp_path,
            *("--input", "answer.json", "--input", "-", "--as-of", AS_OF, "--format", "json"),
            stdin=json.dumps([BAD]).encode(),
        )
        assert run.findings == [("no-bad-credentials", "conn_bad"), ("token-expiry", "conn_expiring")]

    def test_nothing_comes(self, tmp_path: Path) -> None:
        """An empty answer is none: the program before the pipe failed."""
        run = audit(tmp_path, "--input", "-", "--format", "json")
        assert run.code == 3
        assert run.errors[0].startswith("answer standard input: ")

    def test_a_configuration_from_standard_input(self, tmp_path: Path) -> None:
        """As any file."""
        write(tmp_path, "answer.json", [BAD])
        arguments = ("--input", "answer.json", "--config", "-", "--as-of", AS_OF, "--format", "json")
        assert audit(tmp_path, *arguments, stdin=b'{"no-bad-credentials": "advisory"}').code == 0


class TestSaved:
    """What ``--save`` keeps."""

    def test_each_project_has_its_file(self, tmp_path: Path) -> None:
        """Whatever projects are called, no file leaves the folder, and none overwrites another."""
        names = ["crm", "CRM", "../up", "a/b", "a?b", ".hidden", "projéct", "x" * 300]
        projects = [
            Project(id=f"proj_{number}", name=name, connections=[{**BAD, "id": f"conn_{number}", "projectId": name}])
            for number, name in enumerate(names)
        ]
        options = [part for name in names for part in ("--project", name)]
        with Sandbox(connections=[], projects=projects, api_key=KEY, now=NOW) as server:
            run = live(server, tmp_path, *options, "--save", "kept")
        kept = left_in(tmp_path / "kept")
        assert len({name.lower() for name in kept}) == len(names)
        assert left_in(tmp_path) == ["kept"]
        inputs = [part for name in kept for part in ("--input", Path("kept", name))]
        again = audit(tmp_path, *inputs, "--as-of", AS_OF, "--format", "json")
        assert sorted(again.findings) == sorted(run.findings)

    def test_what_could_not_be_read_stays_so(self, tmp_path: Path) -> None:
        """What is kept of an incomplete audit can't be judged clean later on."""
        projects = [Project(id="crm", name="crm", connections=[{**UNREFRESHABLE, "projectId": "crm"}])]
        with Sandbox(connections=[], projects=projects, api_key=KEY, now=NOW, faults=["403@one"]) as server:
            run = live(server, tmp_path, "--project", "crm", "--save", "kept")
        assert run.code == 3
        (kept,) = (tmp_path / "kept").iterdir()
        again = audit(tmp_path, "--input", kept, "--as-of", AS_OF, "--format", "json")
        assert again.report["notEvaluated"] == run.report["notEvaluated"]
        assert again.code == 3


class TestReport:
    """What stands in the JSON report of a run."""

    def test_rules_and_levels(self, tmp_path: Path) -> None:
        """All rules, active or not, sorted, with the configuration's levels and options."""
        write(tmp_path, "answer.json", [CLEAN])
        write(tmp_path, "policy.json", {"token-expiry": {"enforcementLevel": "advisory", "minDays": 14.0}})
        run = audit(tmp_path, "--input", "answer.json", "--config", "policy.json", "--format", "json")
        rules = {rule["id"]: rule for rule in run.report["rules"]}
        assert list(rules) == sorted(rule.id for rule in RULES)
        assert (rules["token-expiry"]["enforcement"], rules["token-expiry"]["options"]["minDays"]) == ("advisory", 14)
        assert (rules["required-scopes"]["active"], rules["required-scopes"]["reason"]) == (False, 'it needs "scopes"')

    def test_severity_hides_and_counts(self, tmp_path: Path) -> None:
        """What isn't shown is counted all the same, and the verdict is the same."""
        write(tmp_path, "answer.json", CONNECTIONS)
        write(tmp_path, "policy.json", EVERY_STATE)
        arguments = ("--input", "answer.json", "--config", "policy.json", "--as-of", AS_OF, "--format", "json")
        whole, shown = audit(tmp_path, *arguments), audit(tmp_path, *arguments, "--severity", "critical")
        assert shown.report["summary"] == whole.report["summary"]
        assert (shown.code, shown.err) == (whole.code, whole.err)
        assert {finding["severity"] for finding in shown.report["findings"]} == {"critical"}
        assert (whole.report["leastShown"], shown.report["leastShown"]) == ("low", "critical")

    def test_findings_are_sorted(self, mixed: Sandbox, tmp_path: Path) -> None:
        """Severest first, then by rule, project and connection."""
        write(tmp_path, "policy.json", CONFIGURATION)
        findings = live(mixed, tmp_path, "--config", "policy.json").report["findings"]
        ranks = ["critical", "high", "medium", "low"]
        keys = [(ranks.index(f["severity"]), f["rule"], f["project"], f["connection"]) for f in findings]
        assert keys == sorted(keys)
        assert len(keys) > 5


HEAVY = {
    *("pulumi", "pulumi_policy", "grpc", "google", "httpx", "httpcore", "tenacity", "jsonschema", "rich"),
    *("jinja2", "vl_convert", "starlette", "uvicorn", "yaml", "asyncio"),
}


@pytest.mark.parametrize(
    ("format_", "allowed"),
    [
        ("json", set()),
        ("csv", set()),
        ("sarif", set()),
        ("junit", set()),
        ("markdown", set()),
        ("table", {"rich"}),
        ("html", {"jinja2", "vl_convert", "asyncio"}),
    ],
)
def test_a_saved_answer_costs_no_more_than_its_form(format_: str, allowed: set[str], tmp_path: Path) -> None:
    """Neither the engine's SDK nor HTTP is imported to judge a file, nor another form's libraries."""
    write(tmp_path, "answer.json", [BAD])
    write(tmp_path, "policy.json", CONFIGURATION)
    program = (
        "import sys; from pulumi_ampersand_policies.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert end.code == 1, end.code\n"
        f"print(sorted({HEAVY!r} & {{name.partition('.')[0] for name in sys.modules}}), file=sys.stderr)"
    )
    arguments = ("audit", "--input", "answer.json", "--config", "policy.json", "--as-of", AS_OF, "--format", format_)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    loaded = set(json.loads(done.stderr.splitlines()[-1].replace("'", '"')))
    assert loaded - allowed == set()


def test_a_day_is_what_it_was(tmp_path: Path) -> None:
    """An answer of long ago can be judged as it was then."""
    write(tmp_path, "answer.json", [connection("conn_1", oauth2AuthorizationCode=grant(refresh=at(days=30)))])
    codes = [
        audit(tmp_path, "--input", "answer.json", "--as-of", at(days=days), "--format", "json").code
        for days in (0, 22, 24, 31)
    ]
    assert codes == [0, 0, 1, 1]
