"""The pack's configuration: one JSON file in the format of ``--policy-pack-config``, read by pack and audit alike.

Precedence: a rule's default < ``all`` < the rule's own entry. Every error names the source, the rule, the key and the
nearest valid name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NoReturn

from pydantic import ValidationError

from pulumi_ampersand.arguments import nearest
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.gate import explain
from pulumi_ampersand_policies.rule import Enforcement, ReportOptions, Rule
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.waiver import needs_one_of

ALL: Final = "all"
WAIVERS: Final = "waivers"
"""``"waivers": "disabled"`` has every waiver ignored. Written as a level, so that the engine hands it on."""

ENVIRONMENTS: Final = "environments"
"""Pulumi's own key in the file: names of ESC environments, which the CLI takes out before packs see the rest."""
_LONGEST: Final = 2000
"""Characters of one mistake: it may quote what was given, which may be long."""

_LEVELS: Final = [level.value for level in Enforcement]


class ConfigurationError(Exception):
    """The configuration can't be used.

    Attributes:
        problems: One sentence for each thing that is wrong.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(one_line(problem, _LONGEST) for problem in problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True)
class Given:
    """What a configuration says of one rule, or of all.

    Attributes:
        level: The enforcement level as written, text if it is right; None if it isn't written.
        options: Everything else.
        named: Whether the configuration mentions the rule at all.
    """

    level: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    named: bool = True


class ActiveRule(NamedTuple):
    """A rule that is evaluated, with its level and options."""

    rule: Rule[Any]
    enforcement: Enforcement
    options: ReportOptions


class InactiveRule(NamedTuple):
    """A rule that isn't evaluated, and why."""

    rule: Rule[Any]
    reason: str


@dataclass(frozen=True)
class Configuration:
    """Which rules are evaluated, at which level, with which options.

    Attributes:
        rules: The rules that are evaluated.
        inactive: Those that aren't, and why.
        waivers: Whether waivers count.
    """

    rules: tuple[ActiveRule, ...]
    inactive: tuple[InactiveRule, ...]
    waivers: bool = True

    def active(self, rule_id: str) -> ActiveRule | None:
        """The rule of that ID, if it is evaluated."""
        return next((active for active in self.rules if active.rule.id == rule_id), None)


def parse(text: str, source: str, rules: Sequence[Rule[Any]] = RULES) -> Configuration:
    """Read a configuration file.

    Args:
        text: The file's content.
        source: The file's name, for errors.
        rules: The rules that it may configure.

    Raises:
        ConfigurationError: It is no JSON, or says something that isn't allowed.
    """
    try:
        # The engine, too, takes an empty file for an empty configuration.
        content = json.loads(text.strip() or "{}", object_pairs_hook=_once, parse_constant=_no_number)
    except _TwiceError as error:
        raise ConfigurationError([f'{source}: "{error}" is there twice']) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError([f"{source} is no JSON: {error}"]) from None
    if not isinstance(content, dict):
        raise ConfigurationError([f"{source} must be a JSON object: rule: level, or rule: {{options}}"])
    entries: dict[str, Given] = {}
    problems: list[str] = []
    known = {ALL, *(rule.id for rule in rules)}
    for name, value in content.items():
        if name == ENVIRONMENTS and isinstance(value, list):
            continue
        if isinstance(value, str):
            entries[name] = Given(value)
        elif isinstance(value, dict):
            options = {key: item for key, item in value.items() if key != "enforcementLevel"}
            if value.get("enforcementLevel", "") is None:
                problems.append(f'{source}: {name}: level "null" is not allowed, only {_either(_LEVELS)}')
            entries[name] = Given(value.get("enforcementLevel"), options)
        elif name not in known:
            entries[name] = Given()
        else:
            problems.append(f'{source}: "{name}" must be a level ({_either(_LEVELS)}) or an object of options')
    return resolve(entries, source, rules, problems)


class _TwiceError(Exception):
    """A key that an object has twice, of which JSON readers drop one in silence."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwiceError(key)
        found[key] = value
    return found


def _no_number(name: str) -> NoReturn:
    """Python takes three names for numbers that JSON doesn't have, and Pulumi's engine doesn't read."""
    raise ValueError(f"{name} is no number")


def default(rules: Sequence[Rule[Any]] = RULES) -> Configuration:
    """What holds without any configuration."""
    return resolve({}, "", rules)


def resolve(
    entries: Mapping[str, Given], source: str, rules: Sequence[Rule[Any]] = RULES, problems: Iterable[str] = ()
) -> Configuration:
    """Check what a configuration says, and fill in what it doesn't.

    Raises:
        ConfigurationError: Something isn't allowed.
    """
    found = list(problems)
    names = [rule.id for rule in rules]
    found += [
        f'{source}: unknown rule "{name}"{nearest(name, names)}; the rules are {", ".join(names)}'
        for name in entries
        if name not in names and name not in {ALL, WAIVERS}
    ]
    everything = entries.get(ALL, Given(named=False))
    if everything.options:
        keys = ", ".join(f'"{key}"' for key in everything.options)
        found.append(f'{source}: "{ALL}" is a level only, it takes no options: move {keys} to a rule')
    common = _level(everything, ALL, source, found)
    waivers = entries.get(WAIVERS)
    if waivers is not None and (waivers.options or waivers.level != Enforcement.DISABLED.value):
        found.append(f'{source}: "{WAIVERS}" can only be "disabled", which has every waiver ignored')
    active: list[ActiveRule] = []
    inactive: list[InactiveRule] = []
    for rule in rules:
        chosen = _choose(rule, entries.get(rule.id, Given(named=False)), common, source, found)
        if isinstance(chosen, ActiveRule):
            active.append(chosen)
        elif chosen is not None:
            inactive.append(chosen)
    if found:
        raise ConfigurationError(found)
    return Configuration(tuple(active), tuple(inactive), waivers is None)


def _choose(
    rule: Rule[Any], entry: Given, common: Enforcement | None, source: str, problems: list[str]
) -> ActiveRule | InactiveRule | None:
    """What holds for one rule; None, and a problem added, if that can't be said."""
    own = _level(entry, rule.id, source, problems)
    level = own or common or rule.enforcement
    missing = " and ".join(_quoted(group) for group in rule.needed if not any(key in entry.options for key in group))
    if missing and not entry.options and (own is Enforcement.DISABLED or not entry.named):
        disabled = entry.named and level is Enforcement.DISABLED
        return InactiveRule(rule, "it is disabled" if disabled else f"it needs {missing}")
    if missing:
        problems.append(f"{source}: {rule.id} is configured but lacks {missing}, without which it checks nothing")
        return None
    options = _options(rule, entry.options, source, problems)
    if options is None:
        return None
    if level is not Enforcement.DISABLED:
        return ActiveRule(rule, level, options)
    if entry.options and own is None and common is None:
        problems.append(
            f"{source}: {rule.id} is configured but disabled by default: give it an enforcementLevel, "
            f"{_either(_LEVELS)}"
        )
        return None
    return InactiveRule(rule, "it is disabled" if entry.named or common else "it is disabled by default")


def _level(entry: Given, name: str, source: str, problems: list[str]) -> Enforcement | None:
    if entry.level is None:
        return None
    if entry.level in _LEVELS:
        return Enforcement(entry.level)
    shown = entry.level if isinstance(entry.level, str) else json.dumps(entry.level)
    remark = "; these rules can't remediate, they only report" if shown == "remediate" else nearest(shown, _LEVELS)
    problems.append(f'{source}: {name}: level "{shown}" is not allowed, only {_either(_LEVELS)}{remark}')
    return None


def _options(rule: Rule[Any], given: Mapping[str, Any], source: str, problems: list[str]) -> ReportOptions | None:
    """The options as a model; None, and a problem added for each thing that is wrong."""
    if not given:
        # The same as validating nothing, which would cost each rule 2 ms at the start of every preview.
        return rule.options.model_construct()  # type: ignore[no-any-return]
    try:
        given = _whole_numbers(given)
        # Strict, so that nothing passes here that the schema forbids.
        return rule.options.model_validate_json(json.dumps(given), strict=True)  # type: ignore[no-any-return]
    except RecursionError:
        problems.append(f"{source}: {rule.id}: its options are nested too deeply")
        return None
    except ValidationError as error:
        fine = [
            "holds half of a surrogate pair, which is no text"
            if e["type"] == "json_invalid"
            else explain(e, rule.options)
            for e in error.errors()
        ]
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - a third of a pack's start, for mistakes only

    errors = list(Draft202012Validator(rule.schema).iter_errors(given))
    misspelt = {tuple(error.absolute_path) for error in errors if error.validator == "additionalProperties"}
    coarse = [
        text
        for error in errors
        # What is missing there is what is misspelt.
        if not (error.validator == "anyOf" and tuple(error.absolute_path) in misspelt)
        for text in _explain(error)
    ]
    problems += [f"{source}: {rule.id}: {text}" for text in coarse or fine]
    return None


def _whole_numbers(value: Any) -> Any:
    """The engine hands all numbers on as floats; pack and audit must say the same of them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    return [_whole_numbers(item) for item in value] if isinstance(value, list) else value


def _explain(error: Any) -> list[str]:
    """One of jsonschema's errors as clauses that name the key, what was given and what is allowed."""
    place = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        keys = list(error.schema.get("properties", ()))
        return [
            f'unknown key "{".".join(filter(None, (place, key)))}"{nearest(key, keys)}; it takes {", ".join(keys)}'
            for key in error.instance
            if key not in keys
        ]
    if error.validator == "anyOf" and all(choice.keys() == {"required"} for choice in error.validator_value):
        names = [name for choice in error.validator_value for name in choice["required"]]
        return [f'"{place}": {needs_one_of(names)}']
    here = [e for e in (error, *error.context) if e.absolute_path == error.absolute_path and e.validator == "type"]
    # Of several alternatives the one that was meant is the one whose type is right.
    meant = [e for e in error.context if e not in here]
    if meant:
        return [text for e in meant for text in _explain(e)]
    if here:
        kinds = sorted({kind for e in here for kind in _listed(e.validator_value)})
        return [f'"{place}": {json.dumps(error.instance)[:80]} is not allowed, only {_either(kinds)}']
    if error.validator == "pattern" and "description" in error.schema:
        return [f'"{place}": {error.instance!r} is not allowed: {error.schema["description"]}']
    return [f'"{place}": {error.message}']


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _quoted(words: Iterable[str]) -> str:
    return " or ".join(f'"{word}"' for word in words)
