"""Hypothesis strategies: answers of the API, ruined ones, and configurations; and how many examples are tried.

Every run tries the same examples, unless ``PULUMI_AMPERSAND_EXAMPLES`` says how many times as many: those are others
each time. What fails is then printed as a decorator that repeats it.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from engine.provision import cache
from loose_answers import CANARY, TEXTS, WRONG
from pulumi_ampersand.terminal import harmless
from pulumi_ampersand_policies.rule import Enforcement, Options, TolerableOptions
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.rules.required_connections import RequiredConnections
from pulumi_ampersand_policies.testing import NOW

TIMES_AS_MANY: Final = int(os.environ.get("PULUMI_AMPERSAND_EXAMPLES") or 1)

# What Hypothesis keeps between runs is a cache, and no business of the work tree's.
set_hypothesis_home_dir(cache().parent / "hypothesis")

for _name, _random in {"ampersand": False, "ampersand-long": True}.items():
    hypothesis.settings.register_profile(
        _name,
        deadline=None,
        derandomize=not _random,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        # Explaining a failure runs the test some hundred times more; what fails is small enough to be looked at.
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )
hypothesis.settings.load_profile("ampersand-long" if TIMES_AS_MANY > 1 else "ampersand")


def examples(number: int) -> hypothesis.settings:
    """The settings of a test that tries so many examples."""
    return hypothesis.settings(max_examples=number * TIMES_AS_MANY)


# Texts and times

PROVIDERS: Final = ("salesforce", "hubspot", "slack", "Zoë 株式会社")
GROUPS: Final = ("acme", "globex", "株式会社", "שלום", "")
STATUSES: Final = ("working", "created", "bad_credentials", "paused", "error")
SCHEMES: Final = (
    "oauth2/authorizationCode",
    "oauth2/authorizationCodePKCE",
    "apiKey",
    "basic",
    "none",
    "smoke-signals",
)
PROJECTS: Final = ("proj_1", "proj_2")
SCOPE_NAMES: Final = ("api", "read", "write", "admin", "offline_access", "https://www.googleapis.com/auth/drive")

_SURROGATES: Final = st.text(st.characters(categories=["Cs", "L"]), min_size=1, max_size=4)
_STEERING: Final = st.text(st.sampled_from("<{%\x1b[m\u202e\u2066\u200f\n\t \x85\u2028\0\x7f a"), max_size=8)
plain_texts: Final = st.sampled_from([text for text in TEXTS if text.isprintable() and "<{%" not in text]) | st.text(
    st.characters(categories=["L", "M", "N", "P", "Zs"], exclude_characters='\\"'), max_size=10
)
"""Text in any script."""

texts: Final = plain_texts | st.sampled_from(TEXTS) | st.text(max_size=10) | _SURROGATES | _STEERING
"""Text in any script, and what steers terminals or can't be encoded."""

_chances: Final = st.randoms(use_true_random=False)


def _written(moment: datetime, minutes: int | None, digits: str, sign: str) -> str:
    offset = "Z" if minutes is None else f"{sign}{minutes // 60:02}:{minutes % 60:02}"
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' if digits else ''}{digits}{offset}"


def spans(least: int, most: int) -> st.SearchStrategy[timedelta]:
    """Times between two numbers of days; of larger numbers, seconds say, Hypothesis mostly draws small ones."""
    return st.builds(timedelta, days=st.integers(least, most), seconds=st.just(0) | st.integers(0, 86399))


times: Final = st.builds(
    _written,
    st.one_of(
        st.builds(lambda away: NOW.replace(tzinfo=None) + away, spans(-460, 460)),
        st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 31)),  # noqa: DTZ001 - the offset is drawn
    ),
    st.none() | st.integers(0, 14 * 60),
    st.just("") | st.text("0123456789", min_size=1, max_size=12),
    st.sampled_from("+-"),
) | st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999999Z"])
"""RFC 3339 times, with any number of fraction digits and any offset; most are near `NOW`."""

json_values: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)

# Answers

ids: Final = st.integers(0, 99).map("conn_{:02}".format) | st.uuids().map(str)
"""IDs that a URL can hold, as the API's can."""

_any_ids: Final = ids | texts


def scopes(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Scopes as the API sends them: flat, nested, several in a string, twice the same.

    Args:
        text: What a scope may be besides the usual.
    """
    several = st.lists(st.sampled_from(SCOPE_NAMES) | text, max_size=3).map(" ".join)
    return st.one_of(
        st.lists(st.sampled_from(SCOPE_NAMES), max_size=4),
        st.lists(several, max_size=3),
        st.lists(st.lists(several, max_size=3), max_size=2),
        st.lists(several | st.lists(several, max_size=2), max_size=3),
        several,
    )


def _loose(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object any of whose fields may be absent or null."""
    return st.fixed_dictionaries({}, optional={name: st.none() | value for name, value in fields.items()})


_token = _loose(token=st.just(f"{CANARY}-token"), issuedAt=times, expiresAt=times)


def _fields(text: st.SearchStrategy[str]) -> dict[str, st.SearchStrategy[Any]]:
    """What the API may tell of a connection besides what is indispensable."""
    reference = st.sampled_from(GROUPS) | text
    party = {"projectId": st.sampled_from(PROJECTS) | text, "createTime": times, "updateTime": times}
    item = _loose(value=text, source=st.sampled_from(["input", "token", "provider"]) | text, displayName=text)
    return {
        "projectId": party["projectId"],
        "authScheme": st.sampled_from(SCHEMES) | text,
        "group": _loose(groupRef=reference, groupName=text, **party),
        "consumer": _loose(consumerRef=reference, consumerName=text, **party),
        "providerWorkspaceRef": text,
        "providerConsumerRef": text,
        "createTime": times,
        "updateTime": times,
        "providerApp": _loose(
            **party,
            id=text,
            externalRef=text,
            provider=text,
            clientId=text,
            clientSecret=st.just(f"{CANARY}-secret"),
            scopes=scopes(text),
        ),
        "providerMetadata": st.dictionaries(st.sampled_from(["instanceUrl", "a.b", ""]), st.none() | item, max_size=2),
        "oauth2AuthorizationCode": _loose(accessToken=_token, refreshToken=_token, scopes=scopes(text)),
        "apiKey": st.just(f"{CANARY}-key"),
    }


_OPTIONAL: Final = frozenset(_fields(texts))
_KNOWN: Final = _OPTIONAL | {"id", "provider", "status"}
_new_fields = st.dictionaries(
    st.sampled_from(["labels", "scopes", "=scopes", "oauth", "gaps", "healthy", "refreshToken"])
    | texts.filter(lambda name: name not in _KNOWN),
    json_values,
    max_size=2,
)


def connections(
    text: st.SearchStrategy[str] = texts, of_id: st.SearchStrategy[str] = _any_ids, *, wrong_types: bool = True
) -> st.SearchStrategy[dict[str, Any]]:
    """A connection as the API may send it, its fields in any order.

    Args:
        text: What names, references and the like may be.
        of_id: Its ID.
        wrong_types: Whether optional fields may have a value of a wrong type.
    """
    required = {
        "id": of_id,
        "provider": st.sampled_from(PROVIDERS) | text,
        "status": st.sampled_from(STATUSES) | text,
    }
    optional = {name: st.none() | value for name, value in _fields(text).items()}
    # As a connection is when the API has everything to tell of it: by chance alone, hardly any would be.
    granted = st.fixed_dictionaries({"accessToken": _token, "scopes": scopes(text)}, optional={"refreshToken": _token})
    typical = {"authScheme": st.sampled_from(SCHEMES[:2]), "oauth2AuthorizationCode": granted}
    rest = {name: value for name, value in optional.items() if name not in typical}
    made = st.fixed_dictionaries(required, optional=optional)
    made = made | st.fixed_dictionaries({**required, **typical}, optional=rest)
    if wrong_types:
        made = st.builds(lambda sent, new: {**new, **sent}, made, _new_fields)
        made = made | st.builds(_with_wrong_type, made, _chances, st.sampled_from(WRONG))

    @st.composite
    def connection(draw: st.DrawFn) -> dict[str, Any]:
        # Composed, it isn't spelt out, with all that it is made of, whenever Hypothesis says something of it.
        sent = draw(made)
        return {key: sent[key] for key in draw(_chances).sample(list(sent), len(sent))}

    return connection()


def _with_wrong_type(sent: dict[str, Any], chance: Any, value: Any) -> dict[str, Any]:
    """The connection with a value of any type somewhere, but in what is indispensable."""
    sent = copy.deepcopy(sent)
    places = [(holder, key) for holder, key in places_of(sent) if holder is not sent or key in _OPTIONAL]
    if places:
        holder, key = chance.choice(places)
        holder[key] = copy.deepcopy(value)
    return sent


def places_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """Everything in a JSON value, as the object or array that holds it and where in that it is."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from places_of(item)


def lists_of(one: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Connections as the API lists them: no two of one ID, unless they are the same."""
    different = st.lists(one, min_size=1, max_size=4, unique_by=lambda sent: harmless(sent["id"]))
    return different | st.builds(lambda sent: [*sent, *copy.deepcopy(sent[:1])], different)


tidy: Final = lists_of(connections(plain_texts, ids, wrong_types=False))
"""Lists of connections as the API promises them, with all that may be absent, null or in another form."""

answers: Final = tidy | lists_of(connections())
"""Lists of connections, as loose as real ones."""


def _encoded(
    value: Any, ascii_only: bool, indent: int | None, separators: tuple[str, str] | None, mark: bytes
) -> bytes:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators)
    return mark + text.encode("utf-8", "surrogatepass")


def encoded(value: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """A value as JSON text: escaped or not, in which case what is no Unicode is no UTF-8, indented or not."""
    return st.builds(
        _encoded,
        value,
        st.booleans(),
        st.sampled_from([None, None, 0, 2]),
        st.sampled_from([None, (",", ":"), (" ,\r\n", "\t: ")]),
        st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"]),
    )


# Ruined answers


def ruined_value(value: Any, chance: random.Random, piece: Any) -> Any:
    """A JSON value with parts of it replaced, deleted, or moved to where others are; at times all of it is another."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        places = list(places_of(value))
        if not places:
            break
        # By chance alone nearly all would be deep inside, where nothing is indispensable.
        outer = [place for place in places if place[1] in _KNOWN] if chance.random() < 0.5 else []
        holder, key = chance.choice(outer or places)
        way = chance.randrange(4)
        if way == 0:
            del holder[key]
        elif way == 1:
            other, place = chance.choice(places)
            holder[key] = copy.deepcopy(other[place]) if place in _keys(other) else None
        else:
            holder[key] = copy.deepcopy(piece)
    return value if chance.random() < 0.95 else chance.choice([{"connections": value}, [value], piece])


def _keys(value: Any) -> Any:
    return value if isinstance(value, dict) else range(len(value))


def _ruined_text(data: bytes, chance: Any, garbage: bytes) -> bytes:
    """The text cut off, with a part missing or twice, or with something else in it."""
    start, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    match chance.randrange(5):
        case 0:
            return data[:start]
        case 1:
            return data[:start] + data[end:]
        case 2:
            return data[:end] + data[start:]
        case 3:
            return data[:start] + garbage + data[start:]
        case _:
            return data[:start] + garbage + data[min(end, start + len(garbage)) :]


_garbage = st.binary(max_size=6) | st.sampled_from(
    [b'"', b"{", b"]", b"\\", b"null", b"NaN", b"1e999", b"\\ud800", b"\xff"]
)
ruined: Final = st.one_of(
    encoded(st.builds(ruined_value, answers, _chances, st.sampled_from(WRONG) | json_values)),
    st.builds(_ruined_text, encoded(answers), _chances, _garbage),
    encoded(json_values),
    st.binary(max_size=30),
)
"""Text that once was an answer, or never."""

# Configurations

_reasons = st.sampled_from(["INT-4711", "legacy customer", "株式会社"])
_days = st.integers(-40, 40).map(lambda days: str((NOW + timedelta(days=days)).date())) | st.just(str(date.max))
_globs = {
    "connection": st.sampled_from(["*", "*", "conn_*", "conn_1*", "*3*"]),
    "provider": st.sampled_from([*PROVIDERS, "*", "s*"]),
    "group": st.sampled_from([*filter(None, GROUPS), "*", "a*"]),
    "consumer": st.sampled_from([*filter(None, GROUPS), "*"]),
}


def _waiver(*selectors: str) -> st.SearchStrategy[dict[str, Any]]:
    given = st.lists(st.sampled_from(selectors), min_size=1, max_size=2, unique=True)
    chosen = given.flatmap(lambda names: st.fixed_dictionaries({name: _globs[name] for name in names}))
    return st.builds(
        lambda selected, reason, day: {**selected, "reason": reason, "approvedBy": "jo@example.com", "expires": day},
        chosen,
        _reasons,
        _days,
    )


_kinds_of_waivers: Final[Mapping[type, st.SearchStrategy[dict[str, Any]]]] = {
    Options: _waiver("connection", "provider", "group", "consumer"),
    RequiredConnections: _waiver("provider", "group"),
}
waivers: Final[Mapping[str, st.SearchStrategy[dict[str, Any]]]] = {
    rule.id: made for kind, made in _kinds_of_waivers.items() for rule in RULES if issubclass(rule.options, kind)
}
"""By the rule's ID, what waives its findings; of those that can be waived."""

_tolerances = st.integers(0, 4) | st.integers(0, 100).map("{}%".format) | st.just("33.4%")
_levels = st.sampled_from([level.value for level in Enforcement])
_provider_keys = st.sampled_from([*PROVIDERS, "*", "*"])
_scope_globs = st.sampled_from([*SCOPE_NAMES, "*", "*a*", "https://*", "\ufffd"])


def _by_provider(value: st.SearchStrategy[Any], least: int = 1) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(_provider_keys, value, min_size=least, max_size=3)


_names = st.lists(st.sampled_from(PROVIDERS), min_size=1, max_size=2, unique=True)
_numbers = st.integers(0, 400) | st.floats(0, 400).map(lambda number: round(number, 2))
_days_option = {"minDays": _numbers}
_age_option = {"maxDays": _numbers}
_requirements = st.lists(
    st.fixed_dictionaries({"provider": st.sampled_from(PROVIDERS)}, optional={"min": st.integers(1, 3)})
    | st.fixed_dictionaries({"groupRef": st.sampled_from([*filter(None, GROUPS)])}),
    max_size=3,
    unique_by=lambda item: str(item.get("provider", item.get("groupRef"))),
)
_schemas = st.sampled_from(
    [
        {},
        {"required": ["group"]},
        {"properties": {"group": {"required": ["groupName"]}, "provider": {"maxLength": 8}}},
        {
            "properties": {"scopes": {"maxItems": 1}, "healthy": {"const": True}},
            "required": ["providerApp", "createTime"],
        },
        {"additionalProperties": False, "properties": {"id": True, "provider": True, "healthy": True}},
    ]
)
_OPTIONS: Final[Mapping[str, Mapping[str, st.SearchStrategy[Any]]]] = {
    "required-scopes": {
        "scopes": _by_provider(
            st.lists(
                st.sampled_from(SCOPE_NAMES) | st.lists(st.sampled_from(SCOPE_NAMES), min_size=1, max_size=2),
                max_size=2,
            )
        )
    },
    "token-expiry": _days_option,
    "access-token-expiry": {"minMinutes": _numbers},
    "credential-age": {**_age_option, "assume": st.sampled_from(["createTime", "updateTime"])},
    "forbidden-scopes": {"scopes": _by_provider(st.lists(_scope_globs, max_size=2))},
    "allowed-scopes": {"scopes": _by_provider(st.lists(_scope_globs, max_size=3))},
    "allowed-auth-schemes": {
        "deny": st.lists(st.sampled_from(SCHEMES), max_size=2),
        "schemes": _by_provider(st.lists(st.sampled_from(SCHEMES), max_size=2), least=0),
    },
    "allowed-providers": {"allow": _names, "deny": _names},
    "allowed-workspaces": {"workspaces": _by_provider(st.sampled_from([".*", ".+", "[a-z]*", "(?!x).*"]))},
    "idle-connections": _age_option,
    "required-connections": {"require": _requirements},
    "connection-schema": {"schema": _schemas},
}


def _entry(rule: Any) -> st.SearchStrategy[Any]:
    """What a configuration may say of a rule."""
    alone = st.just("disabled") if rule.needed else _levels
    return alone | options_of(rule)


def options_of(rule: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A rule's entry with options of its own."""
    own = _OPTIONS.get(rule.id, {})
    if rule.id in waivers:
        own = {**own, "waivers": st.lists(waivers[rule.id], max_size=2)}
    if issubclass(rule.options, TolerableOptions):
        own = {**own, "tolerate": _tolerances}
    needed = {names[0]: own[names[0]] for names in rule.needed}
    # One that is off by default has to be given a level, and so each may.
    level = {"enforcementLevel": _levels}
    off = rule.enforcement is Enforcement.DISABLED
    required = {**needed, **(level if off else {})}
    optional = {name: value for name, value in {**own, **level}.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


configurations: Final[st.SearchStrategy[dict[str, Any]]] = st.fixed_dictionaries(
    {}, optional={**{rule.id: _entry(rule) for rule in RULES}, "all": _levels, "waivers": st.just("disabled")}
)
"""The content of configuration files, all of which are valid."""

moments: Final = spans(-60, 400).map(NOW.__add__)
"""Times to judge by, around and after `NOW`."""
