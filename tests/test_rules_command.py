"""The command ``pulumi-ampersand rules``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pulumi_ampersand_policies import documentation
from pulumi_ampersand_policies.cli import main
from pulumi_ampersand_policies.profiles import profile
from pulumi_ampersand_policies.rule import Rule
from pulumi_ampersand_policies.rules import RULES

IDS = [rule.id for rule in RULES]

LISTED = """\
no-bad-credentials mandatory critical
required-scopes inactive high
token-expiry mandatory high
access-token-expiry inactive medium
refreshable advisory medium
credential-age advisory medium
provider-app-scopes advisory medium
forbidden-scopes inactive high
allowed-scopes inactive low
allowed-auth-schemes mandatory high
allowed-providers inactive medium
allowed-workspaces inactive high
same-project mandatory high
unique-connections advisory low
idle-connections advisory low
required-connections mandatory high
connection-schema inactive medium
verifiable-connections advisory medium
readable-connections mandatory critical
"""


def rules(*arguments: str, given: str | None = None) -> Result:
    """Run the command, with this on standard input."""
    return CliRunner().invoke(main, ["rules", *arguments], input=given)


def test_lists_the_rules() -> None:
    """Each rule's default level, its severity, what is true of those that keep it, and why it is off."""
    done = rules()
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[:3] for line in lines] == [line.split() for line in LISTED.splitlines()]
    assert lines[2] == "token-expiry            mandatory  high      The credential outlives the deployment"
    assert lines[10] == (
        "allowed-providers       inactive   medium    Customers are connected only to providers that are allowed "
        '(it needs "allow" or "deny")'
    )


def test_lists_them_under_a_configuration(tmp_path: Path) -> None:
    """``--config`` shows what a file makes of them, with the check's words."""
    file = tmp_path / "policy.json"
    file.write_text(profile("strict"))
    listed = [line.split()[:2] for line in rules("--config", str(file)).stdout.splitlines()]
    checked = CliRunner().invoke(main, ["config", "check", str(file)]).stdout.splitlines()
    assert [level.rstrip(":") for _, level in (line.split()[:2] for line in checked)] == [level for _, level in listed]
    assert [name for name, level in listed if level == "inactive"] == [
        "required-scopes",
        "access-token-expiry",
        "allowed-scopes",
        "allowed-providers",
        "allowed-workspaces",
        "connection-schema",
    ]
    assert {level for _, level in listed} == {"mandatory", "inactive"}


def test_reads_a_configuration_from_standard_input() -> None:
    """``-`` is a pipe's other end."""
    done = rules("--config", "-", given=json.dumps({"all": "disabled", "token-expiry": "advisory"}))
    assert [line.split()[1] for line in done.stdout.splitlines()].count("advisory") == 1
    assert done.stdout.count("(it is disabled)") == len(IDS) - 1 - done.stdout.count("(it needs ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"tokenexpiry": "advisory"}', '<stdin>: unknown rule "tokenexpiry" (did you mean "token-expiry"?); '),
        ("nonsense", "<stdin> is no JSON: "),
    ],
    ids=["rule", "json"],
)
def test_a_wrong_configuration_lists_nothing(text: str, said: str) -> None:
    """It is one line on standard error, exit code 2."""
    done = rules("--config", "-", given=text)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_show_prints_the_rules_page(rule: Rule[Any]) -> None:
    """What is on a rule's page, word for word, and nothing else."""
    done = rules("show", rule.id)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (documentation.FOLDER / f"{rule.id}.md").read_text("utf-8")


def test_a_page_says_everything() -> None:
    """What breaks the rule, its options and their defaults, how to mend it and which controls ask for it."""
    page = rules("show", "forbidden-scopes").stdout
    assert page.startswith("# forbidden-scopes\n\nNo scope was granted that must not be.\n")
    for part in (
        "| Default | mandatory, needs `scopes` |",
        "| Severity | high |",
        "then have the customer authorise again: pulumi-ampersand reauth &lt;connection> |",
        "| Asked for by | SOC 2 CC6.3 (access follows least privilege); ISO/IEC 27001 A.8.3 (",
        "; NIST SP 800-53 AC-6 (least privilege) |",
        "In a glob `*` matches any text",
        '```json\n{"forbidden-scopes": {"scopes": {',
        "| `scopes` | map of list of string | **required** |",
        "| `maxReported` | integer | `20` |",
        "| `expires` | date | **required** |",
    ):
        assert part in page


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tokenexpiry", ' (did you mean "token-expiry"?)'),
        ("TOKEN-EXPIRY", ' (did you mean "token-expiry"?)'),
        ("q", ""),
    ],
)
def test_show_of_an_unknown_rule(name: str, hint: str) -> None:
    """Wrong usage, exit code 2: the nearest name, if there is one, and all names."""
    done = rules("show", name)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f'Error: no rule "{name}"{hint}; the rules are {", ".join(IDS)}'


def test_show_needs_an_id() -> None:
    """Wrong usage, exit code 2."""
    done = rules("show")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.endswith("Error: Missing argument 'ID'.\n")
