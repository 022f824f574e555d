"""The command ``pulumi-ampersand forecast``: its exit codes, its forms, and what it says on standard error."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from rich.cells import cell_len

import golden
from audit_runs import (
    AS_OF,
    BAD,
    CLEAN,
    KEY,
    SCRIPT,
    SECONDS,
    Run,
    audit,
    checked,
    environment,
    left_in,
    on_terminal,
    write,
)
from audits import CONFIGURATION, CONNECTIONS
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.sandbox import Project, Sandbox
from pulumi_ampersand_policies import reports
from pulumi_ampersand_policies.audit import Part
from pulumi_ampersand_policies.audit import audit as judge
from pulumi_ampersand_policies.configuration import parse
from pulumi_ampersand_policies.forecast import MOST_DAYS, Forecast
from pulumi_ampersand_policies.forecast import forecast as look_ahead
from pulumi_ampersand_policies.report import Report, Source, SourceKind, version
from pulumi_ampersand_policies.reports import Look
from pulumi_ampersand_policies.reports.forecast_report import FORMATS, render
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.testing import NOW, at, connection, grant, inventory
from report_cases import TEXTS, clean
from test_audit_command import HEAVY
from test_audit_output import SIGNALS, screen
from test_csv_report import calculated
from test_json_report import check_jsonschema, dispensable, holder, subschemas, untyped

SCHEMA_FILE: Final = Path(str(resources.files(reports) / "forecast.schema.json"))
SCHEMA: Final[dict[str, Any]] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
VALIDATOR: Final = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)

STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")
DAY: Final = re.compile(r"[A-Z][a-z]+day, [0-9]{4}-[0-9]{2}-[0-9]{2}")

WAIVER: Final = {"group": "globex", "reason": "INT-4711", "approvedBy": "jo@example.com", "expires": "2026-11-30"}
POLICY: Final[dict[str, Any]] = {**CONFIGURATION, "token-expiry": {"waivers": [WAIVER]}}
"""A configuration of which a waiver ends within a week."""


def arguments(*given: str | Path) -> tuple[str | Path, ...]:
    """The arguments of a forecast, as of `AS_OF` unless another time is given."""
    return ("forecast", *given, *(() if "--as-of" in given else ("--as-of", AS_OF)))


def forecast(
    folder: Path, *given: str | Path, stdin: bytes = b"", environ: Mapping[str, str] | None = None, **variables: str
) -> Run:
    """Run ``pulumi-ampersand forecast`` in a process of its own, without a terminal; see `audit_runs.audit`."""
    done = subprocess.run(
        [SCRIPT, *arguments(*given)],
        cwd=folder,
        env=environment(**(environ or {}), **variables),
        input=stdin,
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    return checked(Run(done.returncode, done.stdout, done.stderr.decode()))


def forecast_json(folder: Path, *given: str | Path, environ: Mapping[str, str] | None = None) -> Run:
    """The same with JSON on standard output, which fits its schema."""
    run = forecast(folder, *given, "--format", "json", environ=environ)
    assert invalid(run.report) == []
    return run


def invalid(document: Any) -> list[str]:
    """What in a document doesn't fit the schema."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def upcoming(run: Run) -> list[tuple[str, str, str]]:
    """Day, rule and connection of each finding that is to come."""
    return [(item["on"], item["rule"], item["connection"]) for item in run.report["upcoming"]]


def rows(content: str | bytes) -> list[dict[str, str]]:
    """A CSV forecast as Python reads it."""
    text = content if isinstance(content, str) else content.decode()
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True))


def expiring(name: str, days: float, **changes: Any) -> dict[str, Any]:
    """A connection that will break ``token-expiry``, which asks for a week, that many days from `NOW`."""
    return connection(name, oauth2AuthorizationCode=grant(refresh=at(days=7 + days)), **changes)


SOON: Final = expiring("conn_soon", 5)
"""Breaks a rule in the course of 2026-11-29."""

SOON_ITEM: Final = ("2026-11-29", "token-expiry", "conn_soon")
SOON_HEADLINE: Final = "To come: 1 within 7 days, 1 within 30 days, 1 within 90 days; 0 open now, of 1 connection.\n"
ONE: Final = ("--input", "soon.json")
EVERYTHING: Final = ("--input", "answer.json", "--config", "policy.json")

OWN: Final = """
from datetime import datetime, timezone
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity

def rule(name, check):
    return Rule(id=name, title="It is well", severity=Severity.LOW, enforcement=Enforcement.ADVISORY,
                remediation="Mend {connection}", check=check, options=Options)

def later(inventory, options, now):
    for entry in inventory:
        if now >= datetime(2026, 12, 1, 12, tzinfo=timezone.utc):
            yield Breach("it has aged", entry)

def crashing_now(inventory, options, now):
    raise RuntimeError("secret of a customer")
    yield

def crashing_later(inventory, options, now):
    if now >= datetime(2026, 12, 1, 12, tzinfo=timezone.utc):
        raise RuntimeError("secret of a customer")
    yield from ()

LATER = [rule("ageing", later)]
CRASHING_NOW = [rule("crashing", crashing_now)]
CRASHING_LATER = [rule("crashing", crashing_later)]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one connection that will break a rule, one of everything, and files that are wrong."""
    write(tmp_path, "soon.json", [SOON])
    write(tmp_path, "answer.json", CONNECTIONS)
    write(tmp_path, "policy.json", POLICY)
    write(tmp_path, "typo.json", {"token-expry": "mandatory", "token-expiry": {"minDay": 3}})
    (tmp_path / "broken.json").write_text('[{"id": "conn_1", "provi')
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.fixture
def api() -> Iterator[Sandbox]:
    """An API with two projects, of which one has a connection that will break a rule."""
    projects = [
        Project(id="proj_1", name="crm", connections=[SOON]),
        Project(id="proj_erp", name="erp", connections=[{**CLEAN, "projectId": "proj_erp"}]),
    ]
    with Sandbox(connections=[], projects=projects, api_key=KEY, now=NOW) as running:
        yield running


class TestExitCodes:
    """A forecast gates nothing: what is to come is no failure, but what isn't known is."""

    @pytest.mark.parametrize(
        ("connections", "days", "expected", "open_now"),
        [
            pytest.param([], "90", [], 0, id="nothing-to-look-at"),
            pytest.param([CLEAN], "90", [], 0, id="nothing-to-come"),
            pytest.param([BAD], "90", [], 1, id="broken-now"),
            pytest.param([SOON], "90", [SOON_ITEM], 0, id="to-come"),
            pytest.param([SOON, BAD], "90", [SOON_ITEM], 1, id="both"),
            pytest.param([SOON], "4", [], 0, id="to-come-after-that"),
        ],
    )
    def test_whatever_will_break(
        self, connections: list[Any], days: str, expected: list[Any], open_now: int, folder: Path
    ) -> None:
        """Code 0, and no error."""
        write(folder, "now.json", connections)
        run = forecast_json(folder, "--input", "now.json", "--days", days)
        assert (run.code, run.errors, upcoming(run)) == (0, [], expected)
        assert run.report["summary"]["open"] == open_now
        assert run.report["errors"] == []

    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            pytest.param(("--inptu", "soon.json"), "--input", id="option"),
            pytest.param((*ONE, "--format", "jsno"), "json", id="format"),
            pytest.param((*ONE, "--format", "tabel=x"), "table", id="format-with-file"),
            pytest.param((*ONE, "--details", "nevr"), "never", id="details"),
            pytest.param((*ONE, "--config", "typo.json"), "token-expiry", id="rule"),
            pytest.param((*ONE, "--config", "typo.json"), "minDays", id="rule-option"),
        ],
    )
    def test_a_wrong_name_is_answered_with_the_nearest(self, given: tuple[str, ...], meant: str, folder: Path) -> None:
        """Code 2, and the name that was meant."""
        run = forecast(folder, *given)
        assert (run.code, run.out) == (2, b"")
        assert re.search(rf"[Dd]id you mean ['\"]{meant}['\"]\?", run.err), run.err

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            pytest.param(
                (),
                "nothing to judge: give --project, --all-projects, --input or --stack, or set AMP_PROJECT",
                id="nothing-to-judge",
            ),
            pytest.param(
                (*ONE, "--format", "html"),
                "Invalid value for '--format': no format \"html\"; the formats are table, json, csv",
                id="form-of-the-audit-alone",
            ),
            pytest.param(
                (*ONE, "--format", "json", "--format", "csv"),
                "--format json and --format csv both go to standard output: give each its file, FORMAT=FILE",
                id="two-to-standard-output",
            ),
            pytest.param(
                (*ONE, "--format", "json=x", "--format", "csv=./folder/../x"),
                "--format json and --format csv both go to folder/../x: give each its file, FORMAT=FILE",
                id="two-to-one-file",
            ),
            pytest.param(
                (*ONE, "--format", "json=missing/x"),
                "Invalid value for '--format': json=missing/x: there is no folder missing",
                id="no-folder-for-the-file",
            ),
            pytest.param(
                (*ONE, "--format", "json=folder"),
                "Invalid value for '--format': json=folder: give the name of a file after =",
                id="file-is-a-folder",
            ),
            *(
                pytest.param((*ONE, "--days", days), "Invalid value for '--days': ", id=f"days-{days or 'empty'}")
                for days in ("0", "-1", str(MOST_DAYS + 1), "1.5", "many", "", "9" * 30)
            ),
            pytest.param(
                (*ONE, "--as-of", "tomorrow"),
                "Invalid value for '--as-of': \"tomorrow\" is no time: write 2026-11-24T08:00:00Z, or 2026-11-24",
                id="as-of-a-word",
            ),
            pytest.param(
                (*ONE, "--config", "missing.json"),
                "Invalid value for '--config': 'missing.json': No such file or directory",
                id="no-configuration",
            ),
            pytest.param((*ONE, "--config", "text.json"), "text.json is no JSON: ", id="configuration-is-no-json"),
            pytest.param(
                (*ONE, "--provider", ""), "provider is empty; leave it out to filter by nothing", id="empty-filter"
            ),
            pytest.param(("--input", ""), "a project, file or stack needs a name", id="empty-input"),
            pytest.param(
                ("--input", "-", "--config", "-"),
                "standard input can be read once only: give the others as files",
                id="standard-input-twice",
            ),
            pytest.param(
                (*ONE, "--own", "nowhere:OWN"),
                "Invalid value for '--own': nowhere:OWN can't be loaded: ModuleNotFoundError: ",
                id="own-rules-missing",
            ),
            pytest.param((*ONE, "soon.json"), "Got unexpected extra argument (soon.json)", id="too-many-words"),
            pytest.param((*ONE, "--fail-on", "low"), "No such option", id="option-of-the-audit-alone"),
            pytest.param(("--project", "crm", "--quiet"), "no API key; set AMP_API_KEY", id="no-api-key"),
        ],
    )
    def test_wrong_usage(self, given: tuple[str, ...], error: str, folder: Path) -> None:
        """Code 2, one line that says what is wrong, and nothing is written."""
        before = left_in(folder)
        run = forecast(folder, *given, AMP_API_KEY="")
        assert (run.code, run.out) == (2, b""), run.err
        said = run.err.removeprefix("Error: ").splitlines()[-1].removeprefix("Error: ")
        assert said.startswith(error), run.err
        assert len(run.errors) <= 1
        assert left_in(folder) == before

    @pytest.mark.parametrize(
        ("name", "error"),
        [
            ("missing.json", "answer missing.json: can't be read: No such file or directory"),
            ("folder", "answer folder: can't be read: Is a directory"),
            ("broken.json", "answer broken.json: expected a JSON array of connections: Input data was truncated"),
        ],
    )
    def test_what_cannot_be_read(self, name: str, error: str, folder: Path) -> None:
        """Code 3, the same error on standard error and in the forecast; what could be read is forecast all the same."""
        run = forecast_json(folder, "--input", name, *ONE)
        assert (run.code, upcoming(run)) == (3, [SOON_ITEM])
        assert run.errors == run.report["errors"]
        (said,) = run.errors
        assert said.startswith(error)
        assert [(source["status"], source["connections"]) for source in run.report["sources"]] == [
            ("failed", 0),
            ("complete", 1),
        ]
        # That no more is to come nobody can say.
        assert "To come" not in run.err
        table = forecast(folder, "--input", name, *ONE, COLUMNS="200").out.decode().splitlines()
        assert table[2:5] == ["", "Incomplete", f"  - {said}"]

    def test_a_project_that_the_api_refuses(self, api: Sandbox, folder: Path) -> None:
        """Code 3; other projects are forecast all the same."""
        run = forecast_json(folder, "--project", "gone", "--project", "crm", environ=api.environment)
        assert (run.code, upcoming(run)) == (3, [SOON_ITEM])
        (said,) = run.errors
        assert said.startswith(f'project gone: reading connections of project "gone" at {api.url}: ')

    def test_a_stack_without_pulumi(self, folder: Path) -> None:
        """Code 3, and what to do."""
        run = forecast(folder, "--stack", "dev", *ONE, PATH=str(folder))
        assert (run.code, run.errors) == (3, ["stack dev: pulumi isn't on PATH; run: pulumi-ampersand doctor"])

    @pytest.mark.parametrize("format_", FORMATS)
    def test_a_file_that_cannot_be_written(self, format_: str, folder: Path) -> None:
        """Code 3, and no other output is written either."""
        before = left_in(folder)
        outputs = ("--format", "json=other.json", "--format", f"{format_}=/dev/full")
        run = forecast(folder, *ONE, *outputs)
        assert (run.code, run.out) == (3, b"")
        assert run.err == "Error: /dev/full: can't be written: No space left on device; no forecast was written\n"
        assert left_in(folder) == before

    @pytest.mark.parametrize("format_", FORMATS)
    def test_standard_output_that_cannot_be_written(self, format_: str, folder: Path) -> None:
        """Likewise."""
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [SCRIPT, *arguments(*ONE, "--format", format_)],
                cwd=folder,
                env=environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=SECONDS,
            )
        error = "Error: standard output: can't be written: No space left on device; no forecast was written\n"
        assert (done.returncode, done.stderr) == (3, error)

    @pytest.mark.parametrize(
        ("own", "error"),
        [
            pytest.param("CRASHING_NOW", "crashing: the rule crashed with RuntimeError at own.py:", id="now"),
            pytest.param(
                "CRASHING_LATER",
                "crashing was not evaluated: the rule crashed with RuntimeError at own.py:",
                id="later",
            ),
        ],
    )
    def test_a_rule_that_crashes(self, own: str, error: str, folder: Path) -> None:
        """Code 3, said once however often it does, without the exception's text; other rules are forecast."""
        run = forecast_json(folder, *ONE, "--own", f"own:{own}")
        assert (run.code, upcoming(run)) == (3, [SOON_ITEM])
        assert run.errors == run.report["errors"]
        (said,) = run.errors
        assert said.startswith(error)
        assert [item["rule"] for item in run.report["notEvaluated"] if item["crashed"]] == (
            ["crashing"] if own == "CRASHING_NOW" else []
        )
        table = forecast(folder, *ONE, "--own", f"own:{own}", COLUMNS="200").out.decode()
        assert [line for line in table.splitlines() if "crashed" in line] == [f"  - {said}"]
        assert "secret of a customer" not in run.err + run.out.decode() + table


class TestStandardError:
    """What a run says there."""

    def test_the_headline(self, folder: Path) -> None:
        """How much is to come, in every form."""
        said = {forecast(folder, *ONE, "--format", format_).err for format_ in FORMATS}
        assert said == {SOON_HEADLINE}

    @pytest.mark.parametrize(
        ("connections", "days", "said"),
        [
            ([], "1", "To come: 0 within 1 day; 0 open now, of 0 connections."),
            ([BAD], "2", "To come: 0 within 2 days; 1 open now, of 1 connection."),
            ([SOON, CLEAN], "7", "To come: 1 within 7 days; 0 open now, of 2 connections."),
            (
                [SOON, expiring("conn_later", 20), expiring("conn_last", 50)],
                "3650",
                (
                    "To come: 1 within 7 days, 2 within 30 days, 3 within 90 days, 6 within 3,650 days; "
                    "0 open now, of 3 connections."
                ),
            ),
        ],
        ids=["nothing", "one-now", "one-to-come", "far"],
    )
    def test_numbers(self, connections: list[Any], days: str, said: str, folder: Path) -> None:
        """One is one, thousands have commas, and no horizon lies beyond what is looked ahead."""
        write(folder, "now.json", connections)
        run = forecast(folder, "--input", "now.json", "--days", days, COLUMNS="200")
        assert run.err.splitlines() == [said]
        assert run.out.decode().splitlines()[0] == said

    def test_quiet(self, folder: Path) -> None:
        """Nothing but errors, and the same forecast."""
        loud, quiet = (forecast(folder, *ONE, "--format", "json", *more) for more in ((), ("--quiet",)))
        assert (quiet.code, quiet.out, quiet.err) == (0, loud.out, "")
        failing = forecast(folder, *ONE, "--input", "missing.json", "-q")
        assert failing.err == "Error: answer missing.json: can't be read: No such file or directory\n"

    def test_verbose(self, api: Sandbox, folder: Path) -> None:
        """A line for each source."""
        run = forecast(folder, "--project", "crm", *EVERYTHING, "--verbose", environ=api.environment)
        assert run.err.splitlines()[:2] == [
            "project crm: 1 connection, complete",
            "answer answer.json: 10 connections, complete",
        ]

    @pytest.mark.parametrize("name", ["x\nError: \x1b[31mall is well\x1b[2J", b"caf\xe9.json"], ids=["lines", "bytes"])
    def test_names_of_files_steer_nothing(self, name: str | bytes, folder: Path) -> None:
        """A file name draws no lines of its own, neither there nor in a form, and any name can be written."""
        runs = [forecast(folder, "--input", os.fsdecode(name), "--format", format_) for format_ in FORMATS]
        assert [run.code for run in runs] == [3, 3, 3]
        assert [len(run.errors) for run in runs] == [1, 1, 1]
        assert b"\x1b" not in b"".join(run.out for run in runs)
        assert "\nError:" not in runs[0].out.decode()


class TestSources:
    """Which connections are forecast, and as of when."""

    def test_a_live_project(self, api: Sandbox, folder: Path) -> None:
        """As the API tells of it, by name, by all, or by the environment."""
        for given, more in (
            (("--project", "crm"), {}),
            (("--project", "proj_1"), {}),
            (("--all-projects",), {}),
            ((), {"AMP_PROJECT": "crm"}),
        ):
            run = forecast_json(folder, *given, environ={**api.environment, **more})
            assert (run.code, upcoming(run)) == (0, [SOON_ITEM])
            assert {source["kind"] for source in run.report["sources"]} == {"project"}
        assert [secret for secret in api.secrets if secret in run.out.decode() + run.err] == []

    def test_a_state_and_standard_input(self, folder: Path) -> None:
        """What pulumi stack export wrote, what was kept, and a pipe say the same."""
        connections, observations = inventory(SOON).documents()
        kind = "pulumi-python:dynamic/ampersand:Connections"
        inputs = {"connections": connections, "observations": observations}
        resource = {"urn": f"urn:pulumi:dev::test::{kind}::crm", "type": kind, "inputs": inputs}
        write(folder, "state.json", {"version": 3, "deployment": {"resources": [resource]}})
        (folder / "kept.json").write_bytes(inventory(SOON).saved("proj_1"))
        first = forecast_json(folder, *ONE)
        for name in ("state.json", "kept.json"):
            assert forecast_json(folder, "--input", name).report["upcoming"] == first.report["upcoming"]
        piped = forecast(folder, "--input", "-", "--format", "json", stdin=(folder / "soon.json").read_bytes())
        assert json.loads(piped.out)["upcoming"] == first.report["upcoming"]

    @pytest.mark.parametrize(
        ("as_of", "days", "expected"),
        [
            ("2026-11-24", "90", ["2026-11-29"]),
            ("2026-11-29T07:59:59Z", "1", ["2026-11-29"]),
            ("2026-11-29T09:59:59+02:00", "1", ["2026-11-29"]),
            ("2026-11-29T08:00:01Z", "90", []),
            ("2026-12-24", "90", []),
            ("2025-11-24", "369", []),
            ("2025-11-24", "370", []),
            ("2025-11-24", "371", ["2026-11-29"]),
        ],
    )
    def test_as_of(self, as_of: str, days: str, expected: list[str], folder: Path) -> None:
        """It is looked ahead from another time, as far as is asked."""
        run = forecast_json(folder, *ONE, "--as-of", as_of, "--days", days)
        expiry = [item["on"] for item in run.report["upcoming"] if item["rule"] == "token-expiry"]
        assert (run.code, expiry, run.report["days"]) == (0, expected, int(days))

    def test_now_is_the_default(self, folder: Path) -> None:
        """Without it, the clock counts."""
        before = datetime.now().astimezone().timestamp()
        done = subprocess.run(
            [SCRIPT, "forecast", *ONE, "--format", "json"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            check=True,
        )
        told = datetime.fromisoformat(json.loads(done.stdout)["asOf"].replace("Z", "+00:00"))
        assert int(before) <= told.timestamp() <= datetime.now().astimezone().timestamp()

    @pytest.mark.parametrize("days", ["1", str(MOST_DAYS)])
    @pytest.mark.parametrize("as_of", ["0001-01-01", "9999-12-31", "9999-12-31T23:59:59.999999Z"])
    def test_the_ends_of_the_calendar(self, as_of: str, days: str, folder: Path) -> None:
        """There is no day that can't be looked ahead from."""
        assert forecast_json(folder, *EVERYTHING, "--as-of", as_of, "--days", days).code == 0

    @pytest.mark.parametrize(("days", "expected"), [("4", []), ("5", []), ("6", [SOON_ITEM])])
    def test_days_are_counted_from_now(self, days: str, expected: list[Any], folder: Path) -> None:
        """What has exactly a week in five days isn't broken by then, but right after."""
        assert upcoming(forecast_json(folder, *ONE, "--days", days)) == expected

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            (("--provider", "slack"), ["a", "b"]),
            (("--group-ref", "globex"), ["b"]),
            (("--consumer-ref", "jo"), ["c"]),
            (("--provider", "slack", "--group-ref", "acme"), ["a"]),
            (("--provider", "sap"), []),
        ],
    )
    def test_filters(self, filters: tuple[str, ...], expected: list[str], folder: Path) -> None:
        """Only the connections that are asked for."""
        found = [
            expiring("a", 1, provider="slack"),
            expiring("b", 2, provider="slack", group={"groupRef": "globex"}),
            expiring("c", 3, consumer={"consumerRef": "jo"}),
        ]
        write(folder, "three.json", found)
        run = forecast_json(folder, "--input", "three.json", *filters)
        assert [name for _, _, name in upcoming(run)] == expected
        assert run.report["summary"]["connections"] == len(expected)


class TestRules:
    """By which rules."""

    def test_a_waiver_that_ends(self, folder: Path) -> None:
        """What is waived now breaks the day after the waiver's last; it says who answered for it."""
        run = forecast_json(folder, *EVERYTHING, "--days", "30")
        (item,) = [item for item in run.report["upcoming"] if item["connection"] == "conn_waived"]
        assert (item["on"], item["rule"]) == ("2026-12-01", "token-expiry")
        assert item["message"].endswith("; its waiver expired after 2026-11-30, approved by jo@example.com: INT-4711")

    def test_waivers_that_are_ignored(self, folder: Path) -> None:
        """With ``--no-waivers`` it is broken now, and not to come."""
        heeded, ignored = (forecast_json(folder, *EVERYTHING, *more) for more in ((), ("--no-waivers",)))
        assert [name for _, _, name in upcoming(heeded) if name == "conn_waived"] == ["conn_waived"]
        assert [name for _, _, name in upcoming(ignored) if name == "conn_waived"] == []
        assert ignored.report["summary"]["open"] == heeded.report["summary"]["open"] + 1

    def test_what_is_configured(self, folder: Path) -> None:
        """Levels and options are those of the configuration; a rule that is off breaks nothing."""
        write(folder, "month.json", {"token-expiry": {"enforcementLevel": "advisory", "minDays": 10.0}})
        (item,) = forecast_json(folder, *ONE, "--config", "month.json").report["upcoming"]
        assert (item["on"], item["enforcement"], item["severity"]) == ("2026-11-26", "advisory", "high")
        write(folder, "off.json", {"token-expiry": "disabled"})
        assert upcoming(forecast_json(folder, *ONE, "--config", "off.json")) == []

    def test_rules_of_ones_own(self, folder: Path) -> None:
        """They are judged at later times as ours are."""
        run = forecast_json(folder, *ONE, "--own", "own:LATER")
        assert (run.code, upcoming(run)) == (0, [SOON_ITEM, ("2026-12-01", "ageing", "conn_soon")])
        item = run.report["upcoming"][1]
        assert item["message"] == "conn_soon (salesforce, Acme Ltd): it has aged"
        assert (item["severity"], item["enforcement"], item["remediation"]) == ("low", "advisory", "Mend conn_soon")


class TestOutputs:
    """Where a forecast goes."""

    @pytest.mark.parametrize("format_", FORMATS)
    def test_standard_output_or_a_file(self, format_: str, folder: Path) -> None:
        """It is the same to the byte."""
        shown = forecast(folder, *EVERYTHING, "--format", format_)
        written = forecast(folder, *EVERYTHING, "--format", f"{format_}=forecast")
        assert written.out == b""
        assert shown.out == (folder / "forecast").read_bytes() != b""
        assert shown.out.endswith(b"\n")
        assert b"\x1b" not in shown.out
        assert shown.err == written.err

    def test_the_table_is_the_default(self, folder: Path) -> None:
        """Without a form, and beside others that go to files."""
        plain = forecast(folder, *EVERYTHING)
        all_three = forecast(
            folder, *EVERYTHING, "--format", "csv=f.csv", "--format", "table", "--format", "json=f.json"
        )
        assert plain.out == all_three.out == forecast(folder, *EVERYTHING, "--format", "table").out
        assert len(rows((folder / "f.csv").read_bytes())) == len(
            json.loads((folder / "f.json").read_text())["upcoming"]
        )

    @pytest.mark.parametrize("format_", FORMATS)
    def test_two_runs_are_alike_to_the_byte(self, format_: str, folder: Path) -> None:
        """Whatever the interpreter's hashes and the answer's order, for the same input and time."""
        seeds = ("0", "1", "4294967295")
        runs = {forecast(folder, *EVERYTHING, "--format", format_, PYTHONHASHSEED=seed).out for seed in seeds}
        write(folder, "answer.json", CONNECTIONS[::-1])
        runs.add(forecast(folder, *EVERYTHING, "--format", format_).out)
        assert len(runs) == 1

    def test_a_table_in_a_file_has_a_width_of_its_own(self, folder: Path) -> None:
        """The terminal's width is the terminal's."""
        wide = forecast(folder, *EVERYTHING, COLUMNS="200").out
        forecast(folder, *EVERYTHING, "--format", "table=forecast.txt", COLUMNS="200")
        assert (folder / "forecast.txt").read_bytes() == forecast(folder, *EVERYTHING).out != wide

    def test_it_is_no_baseline(self, folder: Path) -> None:
        """An audit takes no forecast for an earlier report: what isn't broken yet would be fixed."""
        forecast(folder, *EVERYTHING, "--format", "json=forecast.json")
        run = audit(folder, *EVERYTHING, "--as-of", AS_OF, "--baseline", "forecast.json")
        assert (run.code, run.out) == (2, b"")
        assert run.err.startswith("Error: baseline forecast.json is no JSON report of ")

    @pytest.mark.parametrize(("number", "code"), SIGNALS.values(), ids=SIGNALS)
    def test_interrupted(self, number: int, code: int, folder: Path) -> None:
        """The code is the shell's, and no file is left."""
        os.mkfifo(folder / "pipe")
        before = left_in(folder)
        run = subprocess.Popen(
            [SCRIPT, *arguments("--input", "pipe", "--format", "json=forecast.json")],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with (folder / "pipe").open("wb"):
            run.send_signal(number)
            out, err = run.communicate(timeout=SECONDS)
        ended = checked(Run(run.returncode, out, err.decode()))
        assert (ended.code, ended.out, left_in(folder)) == (code, b"", before)

    @pytest.mark.parametrize("format_", FORMATS)
    def test_a_reader_that_goes_away(self, format_: str, many: Path) -> None:
        """``| head -1`` is no failure."""
        run = subprocess.Popen(
            [SCRIPT, *arguments("--input", many, "--format", format_)],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert run.stdout is not None
        assert run.stdout.readline() != b""
        run.stdout.close()
        assert run.stderr is not None
        err = run.stderr.read().decode()
        run.stderr.close()
        assert run.wait(SECONDS) == 0
        assert err.startswith("To come: ")
        assert len(err.splitlines()) == 1

    @pytest.mark.parametrize(("format_", "allowed"), [("json", set()), ("csv", set()), ("table", {"rich"})])
    def test_it_costs_no_more_than_its_form(self, format_: str, allowed: set[str], folder: Path) -> None:
        """Neither the engine's SDK nor HTTP is imported to judge a file, nor another form's libraries."""
        program = (
            "import sys; from pulumi_ampersand_policies.cli import main\n"
            "try: main(sys.argv[1:])\n"
            "except SystemExit as end: assert end.code == 0, end.code\n"
            f"print(*sorted({HEAVY!r} & {{name.partition('.')[0] for name in sys.modules}}), file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments(*EVERYTHING, "--format", format_)],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        )
        assert done.stderr.splitlines()[-1].split() == sorted(allowed)


@pytest.fixture
def many(folder: Path) -> Path:
    """A saved answer of which 1,002 connections will break a rule, 501 on each of two days."""
    found = [expiring(f"conn_{number:04}", 1 + number % 2, providerWorkspaceRef=str(number)) for number in range(1002)]
    return write(folder, "many.json", found)


class TestTable:
    """The form for people."""

    def test_golden(self, folder: Path) -> None:
        """One of everything at 80 columns, which is what a pipe gets."""
        run = forecast(folder, *EVERYTHING, "--input", "missing.json")
        assert run.code == 3
        text = run.out.decode()
        assert max(map(cell_len, text.splitlines())) <= 80
        golden.check("forecast-80.txt", text)

    def test_days_are_headings(self, folder: Path) -> None:
        """Each once, in order, with what breaks on it."""
        run = forecast(folder, *EVERYTHING)
        days = [line.rpartition(", ")[2] for line in run.out.decode().splitlines() if DAY.fullmatch(line)]
        found = [day for day, _, _ in upcoming(forecast_json(folder, *EVERYTHING))]
        assert days == list(dict.fromkeys(found)) != []
        assert len(days) < len(found)

    def test_nothing_to_come(self, folder: Path) -> None:
        """It says so, and nothing else."""
        write(folder, "now.json", [CLEAN])
        lines = forecast(folder, "--input", "now.json", COLUMNS="120").out.decode().splitlines()
        assert lines == [
            "To come: 0 within 7 days, 0 within 30 days, 0 within 90 days; 0 open now, of 1 connection.",
            f"As of {AS_OF}, if nobody does anything.",
        ]

    def test_more_than_a_thousand(self, many: Path, folder: Path) -> None:
        """The table is cut and says so; other forms have all."""
        run = forecast(folder, "--input", many, "--format", "table", "--format", "json=f.json", "--format", "csv=f.csv")
        text = run.out.decode()
        assert text.splitlines()[-1] == "  and 2 more: --format json has all"
        assert len(re.findall(r"^  token-expiry  high, mandatory$", text, re.MULTILINE)) == 1000
        assert [line for line in text.splitlines() if DAY.fullmatch(line)] == [
            "Wednesday, 2026-11-25",
            "Thursday, 2026-11-26",
        ]
        assert "conn_0997 " in text
        assert "conn_0999 " not in text
        document = json.loads((folder / "f.json").read_text())
        assert invalid(document) == []
        assert len(document["upcoming"]) == document["summary"]["upcoming"] == 1002
        assert len(rows((folder / "f.csv").read_bytes())) == 1002

    def test_a_thousand(self, many: Path, folder: Path) -> None:
        """They are all there, and nothing says otherwise."""
        write(folder, "fewer.json", json.loads(many.read_text())[:1000])
        text = forecast(folder, "--input", "fewer.json").out.decode()
        assert len(re.findall(r"^  token-expiry  high, mandatory$", text, re.MULTILINE)) == 1000
        assert "more:" not in text


class TestJson:
    """The form for programs."""

    def test_golden(self, folder: Path) -> None:
        """One of everything."""
        run = forecast_json(folder, *EVERYTHING, "--input", "missing.json")
        assert run.code == 3
        golden.check("forecast.json", run.out.decode().replace(f'"version": "{version()}"', '"version": "VERSION"'))

    def test_the_summary_counts_what_is_listed(self, folder: Path) -> None:
        """Within each horizon, and in all."""
        report = forecast_json(folder, *EVERYTHING, "--days", "400").report
        days = [(datetime.fromisoformat(item["on"]).date() - NOW.date()).days for item in report["upcoming"]]
        assert days == sorted(days)
        assert report["summary"]["within"] == {
            str(limit): sum(day <= limit for day in days) for limit in (7, 30, 90, 400)
        }
        assert report["summary"]["upcoming"] == len(days) == 13
        assert (report["asOf"], report["days"]) == (AS_OF, 400)

    def test_findings_are_those_of_the_audit_of_that_day(self, folder: Path) -> None:
        """Field by field, the fingerprint included, but for the state."""
        items = forecast_json(folder, *EVERYTHING).report["upcoming"]
        for item in items:
            evening = f"{item.pop('on')}T23:59:59.999999Z"
            run = audit(folder, *EVERYTHING, "--as-of", evening, "--format", "json")
            (found,) = [one for one in run.report["findings"] if one["fingerprint"] == item["fingerprint"]]
            assert found["state"] == "open"
            assert item == {name: found[name] for name in item}
        assert len(items) == 5


class TestCsv:
    """The form for spreadsheets."""

    def test_golden(self, folder: Path) -> None:
        """One of everything."""
        golden.check("forecast.csv", forecast(folder, *EVERYTHING, "--format", "csv").out.decode())

    def test_rows_are_those_of_the_json_form(self, folder: Path) -> None:
        """Every field of every finding, the day first, after a byte order mark."""
        content = forecast(folder, *EVERYTHING, "--format", "csv").out.decode()
        assert content.startswith("\ufeffon,severity,rule,")
        assert content.count("\n") == content.count("\r\n")
        assert rows(content) == forecast_json(folder, *EVERYTHING).report["upcoming"] != []

    def test_nothing_to_come(self, folder: Path) -> None:
        """The names of the columns alone."""
        content = forecast(folder, *ONE, "--days", "1", "--format", "csv").out.decode()
        assert content.splitlines() == [
            "\ufeffon,severity,rule,enforcement,project,connection,provider,group,consumer,message,remediation,fingerprint"
        ]

    def test_formulas_get_an_apostrophe(self, folder: Path) -> None:
        """A customer's name is no formula."""
        write(folder, "now.json", [expiring("conn_1", 1, group={"groupRef": "=1+1"}, provider="@sum")])
        (row,) = rows(forecast(folder, "--input", "now.json", "--format", "csv").out)
        assert (row["group"], row["provider"]) == ("'=1+1", "'@sum")
        (item,) = forecast_json(folder, "--input", "now.json").report["upcoming"]
        assert (item["group"], item["provider"]) == ("=1+1", "@sum")


def hostile(text: str) -> tuple[Report, Forecast]:
    """A forecast with a text in every place that others write to."""
    written = text.encode("utf-8", "replace").decode()
    theirs = {
        "provider": text,
        "group": {"groupRef": text, "groupName": text},
        "consumer": {"consumerRef": text, "consumerName": text},
    }
    answer = [expiring(text, 1, **theirs), expiring("waived", -8, **theirs), connection("odd", status=text)]

    def check(found: Inventory, _options: Options, now: datetime) -> Iterator[Breach | Unverified]:
        yield Unverified(text)
        if now > NOW + timedelta(9):
            yield Breach(text)
            yield from (Breach(text, entry) for entry in found)

    def crash(_found: Inventory, _options: Options, now: datetime) -> Iterator[Breach | Unverified]:
        if name_of_crash[-1:] != "." or now > NOW + timedelta(9):
            raise RuntimeError(text)
        yield from ()

    name_of_crash = f"crash {written}"
    own: list[Rule[Any]] = [
        Rule(
            id=name,
            title=written,
            severity=Severity.LOW,
            enforcement=Enforcement.ADVISORY,
            remediation=f"{written} {{connection}}",
            check=what,
            options=Options,
        )
        for name, what in ((f"own {written}", check), (name_of_crash, crash))
    ]
    waiver = {"connection": "waived", "reason": written, "approvedBy": written, "expires": "2026-11-30"}
    configuration = parse(json.dumps({"token-expiry": {"waivers": [waiver]}}), "policy-config.json", [*RULES, *own])
    parts = [
        Part(Source(SourceKind.ANSWER, clean(text), 3), Inventory.from_answer(json.dumps(answer).encode(), "proj_1")),
        Part(Source(SourceKind.PROJECT, clean(text), 0, clean(text)), Inventory(project=text, unread=[text])),
    ]
    now = judge(parts, configuration, NOW)
    return now, look_ahead(now.inventory, configuration, NOW, 30)


def shown(format_: str, what: tuple[Report, Forecast], *, colour: bool = False) -> str:
    """A forecast in a form."""
    now, ahead = what
    return "".join(render(format_, now, 30, ahead, Look(width=80, colour=colour)))


@pytest.fixture(scope="module", params=list(TEXTS))
def case(request: pytest.FixtureRequest) -> tuple[str, tuple[Report, Forecast]]:
    """A hostile text, and a forecast that is full of it."""
    text: str = TEXTS[request.param]
    return text, hostile(text)


class TestHostileText:
    """What others wrote stays text."""

    def test_in_the_table(self, case: tuple[str, tuple[Report, Forecast]]) -> None:
        """It is shown to the letter, steers nothing, and is never a line of the forecast itself."""
        text, what = case
        table = shown("table", what)
        letters = [letter for letter in table if letter != "\n"]
        assert not [letter for letter in letters if unicodedata.category(letter) in {"Cc", "Cs"}]
        assert not set(letters) & set("\u061c\u200f\u202a\u202e\u2066\u2069\u2028\u2029")
        assert max(map(cell_len, table.splitlines())) <= 80
        assert "".join(clean(text).split()) in "".join(table.split())
        assert STYLE.sub("", shown("table", what, colour=True)) == table
        own = [line for line in table.splitlines() if line and line[0] != " "]
        beginnings = ["To come: ", "As of ", "Incomplete", *[""] * (len(own) - 4), "Not evaluated now, so not "]
        assert [line[: len(start)] for line, start in zip(own, beginnings, strict=True)] == beginnings
        assert [line for line in own[3:-1] if not DAY.fullmatch(line)] == []

    def test_in_json(self, case: tuple[str, tuple[Report, Forecast]]) -> None:
        """It is there to the letter, as the schema has it."""
        text, what = case
        content = shown("json", what)
        document = json.loads(content)
        assert invalid(document) == []
        # The ID of a rule of one's own is what its code says.
        texts = [value for item in document["upcoming"] for name, value in item.items() if name != "rule"]
        assert [value for value in texts if value != clean(value)] == []
        (first,) = [item for item in document["upcoming"] if item["on"] == "2026-11-25"]
        for name in ("connection", "provider", "group", "consumer"):
            assert first[name] == clean(text)
        assert document["sources"][0]["name"] == clean(text)
        (waived,) = [item for item in document["upcoming"] if item["on"] == "2026-12-01"]
        assert waived["connection"] == "waived"
        assert len([item for item in document["upcoming"] if item["on"] == "2026-12-03"]) == 4
        assert len(document["upcoming"]) == 6

    def test_in_csv(self, case: tuple[str, tuple[Report, Forecast]]) -> None:
        """No cell is a formula, and nothing is changed but by an apostrophe."""
        text, what = case
        content = shown("csv", what)
        assert not [
            letter for letter in content if unicodedata.category(letter) in {"Cc", "Cs"} and letter not in "\r\n"
        ]
        found = rows(content)
        assert len(found) == len(what[1].upcoming) == content.count("\n") - 1
        assert [cell for row in found for cell in row.values() if calculated(cell)] == []
        semicolons = csv.reader(io.StringIO(content.removeprefix("\ufeff"), newline=""), delimiter=";")
        assert [cell for row in semicolons for cell in row if calculated(cell)] == []
        for name in ("connection", "provider", "group", "consumer"):
            assert found[0][name].replace("'", "") == clean(text).replace("'", "")

    @pytest.mark.parametrize("format_", FORMATS)
    def test_the_same_forecast_gives_the_same_text(self, format_: str) -> None:
        """Judged anew, too."""
        assert shown(format_, hostile(TEXTS["rich"])) == shown(format_, hostile(TEXTS["rich"]))


class TestTerminal:
    """What people see who look at a terminal."""

    def test_colours(self, folder: Path) -> None:
        """A table has colours there; without, it says the same as in a pipe."""
        code, sent = on_terminal(folder, *arguments(*EVERYTHING, "--quiet"))
        assert code == 0
        assert "\x1b[31mtoken-expiry\x1b[0m" in sent
        assert STYLE.sub("", sent) == forecast(folder, *EVERYTHING).out.decode()

    @pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["no-color", "dumb"])
    def test_no_colours_for_whom_wants_none(self, variables: dict[str, str], folder: Path) -> None:
        """As the environment says."""
        assert "\x1b" not in on_terminal(folder, *arguments(*EVERYTHING), **variables)[1]

    @pytest.mark.parametrize("format_", FORMATS)
    def test_files_are_the_same_from_a_terminal(self, format_: str, folder: Path) -> None:
        """Neither colours nor the terminal's width get into a file."""
        plain = forecast(folder, *EVERYTHING, "--format", format_)
        _, sent = on_terminal(folder, *arguments(*EVERYTHING, "--format", f"{format_}=forecast"), COLUMNS="120")
        assert (folder / "forecast").read_bytes() == plain.out
        assert sent == plain.err

    def test_progress_is_shown_and_leaves_nothing(self, api: Sandbox, folder: Path) -> None:
        """What takes longer than a second shows that it goes on; in the end the headline alone is left."""
        api.faults = ["slow:2@list"]
        code, sent = on_terminal(folder, *arguments("--project", "crm", "--format", "json=f.json"), **api.environment)
        assert code == 0
        assert "Reading connections" in sent
        assert screen(sent) == SOON_HEADLINE
        assert sent.count("\x1b[?25l") == sent.count("\x1b[?25h")


DOCUMENTS: Final = {
    name: json.loads(shown("json", hostile(text))) for name, text in (("later", "plain."), ("now", "plain"))
}
"""Forecasts with something of everything: a rule crashes later on, or now."""


class TestSchema:
    """The JSON Schema that ships with the package."""

    def test_it_is_strict_and_explains_itself(self) -> None:
        """Every object names all its properties, and everything has a description."""
        Draft202012Validator.check_schema(SCHEMA)
        assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        definitions = {f"$defs.{name}": part for name, part in SCHEMA["$defs"].items()}
        loose, silent = [], []
        for start, schema in {"": SCHEMA, **definitions}.items():
            for way, found in subschemas(schema, start):
                target = SCHEMA["$defs"].get(str(found.get("$ref", "")).removeprefix("#/$defs/"), {})
                if "description" not in found and "description" not in target:
                    silent.append(way)
                if found.get("type") == "object" and found.get("additionalProperties") is not False:
                    loose.append(way)
        assert (silent, loose) == ([], [])

    def test_what_both_reports_have_is_the_same(self) -> None:
        """A reader of audits reads a forecast's parts alike."""
        audits = json.loads(SCHEMA_FILE.with_name("report.schema.json").read_text(encoding="utf-8"))["$defs"]
        common = SCHEMA["$defs"].keys() & audits.keys()
        assert {name: SCHEMA["$defs"][name] for name in common} == {name: audits[name] for name in common}
        assert set(SCHEMA["$defs"]) - common == {"upcoming"}

    def test_another_validator_agrees(self, tmp_path: Path) -> None:
        """An outside tool finds the schema a schema, a forecast valid and a spoilt one not."""
        assert check_jsonschema("--check-metaschema", str(SCHEMA_FILE)) == ""
        good = write(tmp_path, "good.json", DOCUMENTS["later"])
        assert check_jsonschema("--schemafile", str(SCHEMA_FILE), str(good)) == ""
        bad = write(tmp_path, "bad.json", {**DOCUMENTS["later"], "days": 0})
        assert "exit code 1" in check_jsonschema("--schemafile", str(SCHEMA_FILE), str(bad))

    def test_forecasts_fit(self) -> None:
        """Those that the next tests spoil."""
        assert {name: invalid(document) for name, document in DOCUMENTS.items()} == {"later": [], "now": []}

    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_what_is_dropped_or_renamed_is_refused(self, name: str) -> None:
        """Without any of its keys, with an unknown one or with one misspelt, a forecast isn't valid."""
        # Which horizons there are depends on how far is looked ahead.
        assert dispensable(DOCUMENTS[name], VALIDATOR) == ["summary.within.7", "summary.within.30"]

    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_wrong_types_are_refused(self, name: str) -> None:
        """With a value of a wrong type anywhere, a forecast isn't valid."""
        assert untyped(DOCUMENTS[name], VALIDATOR) == []

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            pytest.param(("errors",), [], id="failed-without-an-error"),
            pytest.param(("upcoming",), [], id="less-than-the-summary"),
            pytest.param(("summary", "upcoming"), 0, id="more-than-the-summary"),
            pytest.param(("asOf",), "2026-11-24T08:00:00+00:00", id="time-not-in-utc"),
            pytest.param(("days",), 0, id="no-days"),
            pytest.param(("days",), MOST_DAYS + 1, id="too-many-days"),
            pytest.param(("summary", "within"), {}, id="no-horizon"),
            pytest.param(("summary", "within"), {"07": 1}, id="no-number"),
            pytest.param(("summary", "within"), {"3651": 1}, id="too-far"),
            pytest.param(("upcoming", 0, "on"), "2026-02-30", id="no-day"),
            pytest.param(("upcoming", 0, "on"), "2026-12-01T00:00:00Z", id="time-instead-of-a-day"),
            pytest.param(("upcoming", 0, "severity"), "severe", id="unknown-severity"),
            pytest.param(("upcoming", 0, "enforcement"), "disabled", id="finding-of-a-disabled-rule"),
            pytest.param(("upcoming", 0, "state"), "open", id="state-of-an-audit"),
            pytest.param(("upcoming", 0, "fingerprint"), "A" * 64, id="no-fingerprint"),
            pytest.param(("sources", 0, "status"), "failed", id="source-without-its-error"),
            pytest.param(("schemaVersion",), 2, id="other-version"),
        ],
    )
    def test_what_contradicts_itself_is_refused(self, place: tuple[str | int, ...], value: Any) -> None:
        """What a forecast can't mean isn't valid."""
        document = json.loads(json.dumps(DOCUMENTS["now"]))
        holder(document, place)[place[-1]] = value
        assert not VALIDATOR.is_valid(document)

    @pytest.mark.parametrize("days", [1, 7, 10, 99, 100, 999, 1000, 3599, 3600, MOST_DAYS])
    def test_every_horizon_fits(self, days: int) -> None:
        """As far as can be looked ahead."""
        now, _ = hostile("plain")
        text = "".join(render("json", now, days, Forecast(()), Look()))
        assert invalid(json.loads(text)) == []
