"""The command ``pulumi-ampersand config``: the schema for editors, the check, and that the two agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator, FormatChecker

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.cli import main
from pulumi_ampersand_policies.configuration import ConfigurationError, parse
from pulumi_ampersand_policies.configuration_schema import schema
from pulumi_ampersand_policies.profiles import PROFILES, profile
from pulumi_ampersand_policies.rule import Rule
from pulumi_ampersand_policies.rules import RULES, token_expiry

IDS: Final = [rule.id for rule in RULES]

APPROVED: Final = {"reason": "tests", "approvedBy": "jo", "expires": "9999-12-31"}
EXPIRED: Final = {**APPROVED, "connection": "*", "expires": "2020-01-31"}

NEEDED: Final[dict[str, dict[str, Any]]] = {
    "required-scopes": {"scopes": {"salesforce": ["api", ["refresh_token", "offline_access"]], "*": []}},
    "forbidden-scopes": {"scopes": {"*": ["*admin*"]}},
    "allowed-scopes": {"scopes": {"*": ["api"]}},
    "allowed-providers": {"allow": ["salesforce"]},
    "allowed-workspaces": {"workspaces": {"*": "(?!.*--).*"}},
    "connection-schema": {"schema": {"required": ["group"]}},
}
"""Options for the rules that are inactive without any."""

VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2.5, 3.0, 10**6, "", "x", "5%", "2.5%", "100%", "101%", "1%%", "createTime", "auto"),
    *([], {}, ["a"], [""], [1], [None], [["a"]], {"*": []}, {"*": ["a"]}, {"*": [""]}, {"*": [["a"]]}, {"*": [[]]}),
    *({"*": "a"}, {"*": ""}, {"*": None}, {"type": "object"}, {"a": 1}),
    *([{"provider": "a"}], [{"groupRef": "a", "min": 2}], [{"provider": None, "groupRef": "a"}]),
    *([{"provider": "a", "min": 0}], [{"provider": "a", "min": 1.5}], [{"provider": "a", "x": 1}], [{"provider": ""}]),
    *([{**APPROVED, "connection": "*"}], [{**APPROVED, "provider": "p", "group": "g"}], [APPROVED]),
    *([{**APPROVED, "consumer": ""}], [{**APPROVED, "connection": None}], [{**APPROVED, "provider": "a", "x": 1}]),
    *(
        [{"provider": "a"}],
        [{**APPROVED, "provider": "a", "reason": ""}],
        [{**APPROVED, "provider": "a", "expires": 1}],
    ),
    *({"provider": "a"}, {"provider": ""}, {"provider": {}}, {"provider": None}, {"groupRef": 1.5}, {"groupRef": True}),
    *({"projects": ["a", 1]}, {"projects": []}, {"projects": "a"}, {"connectionIds": [""]}, {"connectionIds": [["a"]]}),
    *({"details": "auto"}, {"details": "sometimes"}, {"details": True}, {"provder": "a"}),
)
"""Values of every shape that an option can have, and of many that it can't."""

LEVELS: Final[tuple[Any, ...]] = ("advisory", "mandatory", "disabled", "remediate", "", "Mandatory", 5, None, [])

GOOD: Final[dict[str, Any]] = {
    "empty": {},
    "environments": {"environments": ["org/prod"]},
    "waivers-ignored": {"waivers": "disabled"},
    "all-with-an-exception": {"all": "advisory", "token-expiry": {"enforcementLevel": "mandatory", "minDays": 14}},
    "off-by-default-turned-on": {"access-token-expiry": {"enforcementLevel": "advisory", "minMinutes": 5}},
    "expired-waiver": {"token-expiry": {"waivers": [EXPIRED]}},
    **{f"profile-{name}": json.loads(profile(name)) for name in PROFILES},
    **{f"needed-{name}": {name: options} for name, options in NEEDED.items()},
}

BAD: Final[dict[str, Any]] = {
    "list": [],
    "text": "advisory",
    "null": None,
    "unknown-rule": {"tokenexpiry": "mandatory"},
    "unknown-key": {"token-expiry": {"minDay": 3}},
    "all-with-options": {"all": {"enforcementLevel": "advisory", "minDays": 3}},
    "waivers-advisory": {"waivers": "advisory"},
    "waivers-list": {"waivers": [EXPIRED]},
    "environments-text": {"environments": "org/prod"},
    "requirement-waived-by-connection": {"required-connections": {"waivers": [EXPIRED]}},
    "unreadable-waived": {"readable-connections": {"waivers": [EXPIRED]}},
    "unverifiable-waived": {"verifiable-connections": {"waivers": [EXPIRED]}},
    "unreadable-tolerated": {"readable-connections": {"tolerate": 1}},
    **{f"lacking-{name}": {name: "mandatory"} for name in NEEDED},
    **{f"disabled-but-lacking-{name}": {name: {"enforcementLevel": "disabled", "maxReported": 3}} for name in NEEDED},
}

CHECKED_LATER: Final[dict[str, tuple[Any, str]]] = {
    "date": ({"token-expiry": {"waivers": [{**EXPIRED, "expires": "2026-02-30"}]}}, '"waivers.0.expires": '),
    "time-for-a-date": (
        {"token-expiry": {"waivers": [{**EXPIRED, "expires": "2026-02-01T00:00:00Z"}]}},
        '"waivers.0.expires": ',
    ),
    "percentage-with-a-line-end": ({"token-expiry": {"tolerate": "5%\n"}}, 'token-expiry: "tolerate'),
    "regular-expression": ({"allowed-workspaces": {"workspaces": {"*": "["}}}, "'[' is no regular expression"),
    "own-schema": ({"connection-schema": {"schema": {"type": "nonsense"}}}, "is no JSON Schema: "),
    "own-schema-that-refers-elsewhere": (
        {"connection-schema": {"schema": {"$ref": "https://example.com/x.json"}}},
        'refers to "https://example.com/x.json", which isn\'t in the schema itself',
    ),
    "requirement-of-nulls": (
        {"required-connections": {"require": [{"provider": None}]}},
        '"require.0": give at least one of provider, groupRef',
    ),
    "off-by-default": (
        {"access-token-expiry": {"minMinutes": 5}},
        "access-token-expiry is configured but disabled by default",
    ),
}
"""What only the check refuses, and what it says of it: all that the schema lets through."""

_LATER: Final = (
    "should be a valid date",
    "is no regular expression",
    "is no JSON Schema",
    "isn't in the schema itself",
    "give at least one of provider, groupRef",
    "is configured but disabled by default",
)


def config(*arguments: str, given: str | bytes | None = None) -> Result:
    """Run the command, with this on standard input."""
    return CliRunner().invoke(main, ["config", *arguments], input=given)


def refusals(content: Any) -> tuple[str, ...]:
    """What the check says against a configuration."""
    try:
        parse(json.dumps(content), "policy.json")
    except ConfigurationError as error:
        return error.problems
    return ()


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """What an editor does with the schema that the command prints."""
    printed = json.loads(config("schema").stdout)
    Draft202012Validator.check_schema(printed)
    return Draft202012Validator(printed)


class TestSchema:
    """``config schema``, against what the pack itself takes."""

    def test_it_is_the_schema_of_all_rules(self) -> None:
        """It is a draft 2020-12 schema, whole in itself, with an entry and a description for each rule."""
        printed = json.loads(config("schema").stdout)
        assert printed == schema()
        assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert list(printed["properties"]) == ["all", "waivers", "environments", *IDS]
        assert printed["properties"]["access-token-expiry"]["description"] == (
            "The access token outlives what runs with it. By default disabled."
        )
        referred = {text.split('"')[0] for text in json.dumps(printed).split('"$ref": "')[1:]}
        assert referred == {f"#/$defs/{name}" for name in printed["$defs"]}

    def test_it_can_be_of_other_rules(self) -> None:
        """A pack with rules of its own has a schema, too."""
        made = Draft202012Validator(schema([token_expiry.RULE]))
        assert made.is_valid({"token-expiry": {"minDays": 3}})
        assert not made.is_valid({"no-bad-credentials": "advisory"})

    @pytest.mark.parametrize("content", GOOD.values(), ids=GOOD)
    def test_both_take_what_is_right(self, validator: Draft202012Validator, content: Any) -> None:
        """Neither editor nor check complains."""
        assert [error.message for error in validator.iter_errors(content)] == []
        assert refusals(content) == ()

    @pytest.mark.parametrize("content", BAD.values(), ids=BAD)
    def test_both_refuse_what_is_wrong(self, validator: Draft202012Validator, content: Any) -> None:
        """An editor marks what the check would refuse."""
        assert refusals(content) != ()
        assert not validator.is_valid(content)

    @pytest.mark.parametrize(("content", "said"), CHECKED_LATER.values(), ids=CHECKED_LATER)
    def test_the_check_knows_more(self, validator: Draft202012Validator, content: Any, said: str) -> None:
        """What no schema says here, the check does."""
        assert validator.is_valid(content)
        assert refusals(content) != ()
        assert [problem for problem in refusals(content) if said not in problem] == []

    @pytest.mark.parametrize("name", ["date", "time-for-a-date"])
    def test_editors_that_know_formats_know_dates(self, validator: Draft202012Validator, name: str) -> None:
        """The schema says that it is a date."""
        strict = Draft202012Validator(validator.schema, format_checker=FormatChecker())
        assert not strict.is_valid(CHECKED_LATER[name][0])
        assert strict.is_valid({"token-expiry": {"waivers": [EXPIRED]}})

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param({"waivers": {"enforcementLevel": "disabled"}}, id="waivers-as-an-object"),
            pytest.param({"all": "disabled", "required-scopes": {}}, id="nothing-said-under-all-disabled"),
            pytest.param({"environments": [1]}, id="environments-without-names"),
        ],
    )
    def test_they_agree_at_the_edges(self, validator: Draft202012Validator, content: Any) -> None:
        """What the check takes, no editor marks."""
        assert validator.is_valid(content) is (refusals(content) == ())

    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
    def test_they_agree_on_levels(self, validator: Draft202012Validator, rule: Rule[Any]) -> None:
        """Each level, written in each way, alone and under each level for all."""
        needed = NEEDED.get(rule.id, {})
        for level in LEVELS:
            for content in (
                {rule.id: level},
                {rule.id: {"enforcementLevel": level}},
                {rule.id: {"enforcementLevel": level, **needed}},
                {"all": level, rule.id: {**needed, "maxReported": 3}},
                {"all": {"enforcementLevel": level}},
            ):
                assert validator.is_valid(content) is (refusals(content) == ()), content

    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
    def test_they_agree_on_options(self, validator: Draft202012Validator, rule: Rule[Any]) -> None:
        """Each value for each of a rule's options, at its own level or disabled, but for what only the check knows."""
        taken = 0
        for content in configurations(rule):
            problems = refusals(content)
            coarse = [problem for problem in problems if not any(known in problem for known in _LATER)]
            valid = validator.is_valid(content)
            taken += valid
            if problems == () or coarse:
                assert valid is (problems == ()), (content, problems)
        assert taken > len(rule.schema["properties"])


def configurations(rule: Rule[Any]) -> Iterator[dict[str, Any]]:
    """Each value for each of a rule's options, and for a key that it doesn't have."""
    base = {"enforcementLevel": "advisory"}
    for name in (*rule.schema["properties"], "nonsense"):
        for value in VALUES:
            yield {rule.id: {**base, **NEEDED.get(rule.id, {}), name: value}}
            yield {rule.id: {"enforcementLevel": "disabled", name: value}}


class TestCheck:
    """``config check``."""

    BASELINE = """\
no-bad-credentials      mandatory
required-scopes         inactive: it needs "scopes"
token-expiry            mandatory
access-token-expiry     inactive: it is disabled
refreshable             advisory
credential-age          advisory
provider-app-scopes     advisory
forbidden-scopes        inactive: it needs "scopes"
allowed-scopes          inactive: it needs "scopes"
allowed-auth-schemes    advisory
allowed-providers       inactive: it needs "allow" or "deny"
allowed-workspaces      inactive: it needs "workspaces"
same-project            advisory
unique-connections      advisory
idle-connections        advisory
required-connections    mandatory
connection-schema       inactive: it needs "schema"
verifiable-connections  advisory
readable-connections    mandatory
"""

    def test_says_what_a_file_makes_of_each_rule(self, tmp_path: Path) -> None:
        """A line for each rule, in their order: its level, or why it isn't evaluated."""
        file = tmp_path / "policy.json"
        file.write_text(profile("baseline"))
        done = config("check", str(file))
        assert (done.exit_code, done.stdout, done.stderr) == (0, self.BASELINE, "")

    def test_reads_standard_input(self) -> None:
        """``-`` is a pipe's other end, a profile's for example."""
        printed = config("profile", "baseline")
        assert printed.stdout == profile("baseline")
        done = config("check", "-", given=printed.stdout)
        assert (done.exit_code, done.stdout, done.stderr) == (0, self.BASELINE, "")

    @pytest.mark.parametrize("text", ["", " \n", "{}"])
    def test_nothing_is_the_default(self, text: str) -> None:
        """An empty file leaves every rule at its default, as it does in the engine."""
        done = config("check", "-", given=text)
        assert done.exit_code == 0
        lines = done.stdout.splitlines()
        assert [line.split()[0] for line in lines] == IDS
        assert lines[3] == "access-token-expiry     inactive: it is disabled by default"
        assert lines[9] == "allowed-auth-schemes    mandatory"

    def test_tells_of_expired_waivers(self) -> None:
        """A waiver that is over waives nothing, which its author wants to know; it is no mistake."""
        content = {"token-expiry": {"waivers": [{**APPROVED, "group": "acme"}, EXPIRED]}}
        done = config("check", "-", given=json.dumps(content))
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout.splitlines()[len(IDS) :] == [
            "token-expiry: waivers[1] expired after 2020-01-31: it waives nothing"
        ]

    def test_tells_that_waivers_are_ignored(self) -> None:
        """Nobody has to find out from a preview that none counts."""
        done = config("check", "-", given='{"waivers": "disabled"}')
        assert (done.exit_code, done.stdout.splitlines()[len(IDS) :]) == (0, ["all waivers are ignored"])

    def test_each_mistake_is_a_line(self, tmp_path: Path) -> None:
        """All at once on standard error, under the file's name; nothing on standard output, exit code 2."""
        file = tmp_path / "policy.json"
        file.write_text('{"tokenexpiry": "mandatory", "token-expiry": {"minDay": 3}, "required-scopes": "advisory"}')
        done = config("check", str(file))
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [
            f'{file}: unknown rule "tokenexpiry" (did you mean "token-expiry"?); the rules are {", ".join(IDS)}',
            f'{file}: required-scopes is configured but lacks "scopes", without which it checks nothing',
            (
                f'{file}: token-expiry: unknown key "minDay" (did you mean "minDays"?); '
                "it takes maxReported, tolerate, waivers, minDays"
            ),
        ]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            pytest.param(b"\xff\xfe{}", "<stdin> is no UTF-8 text", id="utf-16"),
            pytest.param(b'{"token-expiry": "\xe9"}', "<stdin> is no UTF-8 text", id="latin-1"),
            pytest.param(b"\xef\xbb\xbf{}", "<stdin> is no JSON: ", id="byte-order-mark"),
            pytest.param(b"all: advisory", "<stdin> is no JSON: ", id="yaml"),
            pytest.param(b"[]", "<stdin> must be a JSON object", id="list"),
        ],
    )
    def test_what_is_no_configuration(self, content: bytes, said: str) -> None:
        """One line says so, exit code 2."""
        done = config("check", "-", given=content)
        assert (done.exit_code, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(said)

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        """A missing file and a folder are wrong usage, exit code 2, and say which."""
        for path, said in ((tmp_path / "missing.json", "No such file or directory"), (tmp_path, "Is a directory")):
            done = config("check", str(path))
            assert (done.exit_code, done.stdout) == (2, "")
            assert done.stderr.splitlines()[-1] == f"Error: Invalid value for 'FILE': '{path}': {said}"
        assert config("check").exit_code == 2

    HOSTILE = "a\n\x1b[31mb\u202e<{%fg 1%}>\ud800"

    def test_hostile_text_is_harmless(self) -> None:
        """Names, keys, values and levels that steer a terminal or can't be encoded are shown without that."""
        h = self.HOSTILE
        content = {h: h, "token-expiry": {h: 1, "minDays": h, "enforcementLevel": h}, "allowed-workspaces": {h: {h: h}}}
        done = config("check", "-", given=json.dumps(content))
        assert (done.exit_code, done.stdout) == (2, "")
        lines = done.stderr.split("\n")
        assert lines.pop() == ""
        assert len(lines) == 5
        assert [line for line in lines if line != one_line(line)] == []

    def test_a_hostile_file_name_is_harmless(self, tmp_path: Path) -> None:
        """A name with a line end makes no second line, whatever is wrong with the file."""
        file = tmp_path / "a\nb.json"
        for content in (b"\xff", b"[", b"{}x", b'{"x": 1}'):
            file.write_bytes(content)
            done = config("check", str(file))
            assert done.exit_code == 2
            assert len(done.stderr.splitlines()) == 1, content


@pytest.mark.parametrize("name", PROFILES)
def test_profile_prints_a_profile(name: str) -> None:
    """Word for word, so that it can become a file."""
    done = config("profile", name)
    assert (done.exit_code, done.stdout, done.stderr) == (0, profile(name), "")


def test_profile_knows_its_names() -> None:
    """Another name is wrong usage, and the right ones are listed."""
    done = config("profile", "paranoid")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.endswith("'paranoid' is not one of 'baseline', 'strict', 'soc2'.\n")
