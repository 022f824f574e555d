"""Credentials that can be found again, and the search for them in whatever a program leaves.

A canary is a credential that begins and ends with `MARK`, so that it is found however short it is cut. The mark is
looked for in the forms that text takes on its way through encodings, escapes and folded lines.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pulumi_ampersand_policies import testing
from pulumi_ampersand_policies.testing import at

if TYPE_CHECKING:
    from typing_extensions import Self

MARK: Final = "CANARY-"
"""What every canary contains, those of the sandbox's data sets, too."""


def canary(name: str) -> str:
    """A credential.

    Args:
        name: What it stands for, to know it by where it is found.
    """
    return f"{MARK}{name}-{MARK}end"


# The search. Each view of a text undoes some of what may have been done to it; the mark is looked for in each of them.

_ESCAPES: Final = re.compile(
    rb"\\+u00([0-9a-fA-F]{2})|\\+x([0-9a-fA-F]{2})|%(?:25)*([0-9a-fA-F]{2})|=([0-9A-F]{2})|&#x0*([0-9a-fA-F]{2});"
    rb"|&#0*([0-9]{2,3});"
)
"""Characters of ASCII as JSON, Python, URLs, quoted-printable and HTML write them."""

_FOLDS: Final = re.compile("(?:=\r?\n|\\\\+[nrt]|[\\s|\u2500-\u257f])+".encode())
"""What stands between two halves of a line: line ends, indentation, the borders of tables, and escaped line ends."""


def _character(found: re.Match[bytes]) -> bytes:
    *hexadecimal, decimal = found.groups()
    code = int(decimal) if decimal else int(next(filter(None, hexadecimal)), 16)
    return bytes([code]) if code < 0x80 else found[0]


def _unpacked(data: bytes) -> bytes:
    """The same, and behind it what is packed by gzip in it, wherever that begins, and even if its end is missing."""
    found = [data]
    for start in re.finditer(rb"\x1f\x8b\x08", data):
        # Three bytes may as well mean something else.
        with contextlib.suppress(zlib.error):
            found.append(zlib.decompressobj(wbits=31).decompress(data[start.start() :]))
    return b"\n".join(found)


def _needles(mark: bytes) -> dict[str, bytes]:
    """The mark itself, and what never varies of its encodings, wherever in a longer text it stands."""
    found = {"plain": mark.lower(), "hexadecimal": mark.hex().encode()}
    for shift in range(3):
        start, end = -(-shift * 8 // 6), (shift + len(mark)) * 8 // 6
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            found[f"{name} after {shift}"] = encode(b"\xff" * shift + mark)[start:end]
    return found


_NEEDLES: Final = _needles(MARK.encode())


def leaks(content: bytes | str) -> list[str]:
    """Where a content holds a canary: the form, and what stands around it; nothing where there is none.

    Args:
        content: Anything that a program said or wrote.
    """
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    # In UTF-16 and UTF-32, zeros stand between the letters.
    data = _unpacked(data).replace(b"\0", b"")
    unescaped = _ESCAPES.sub(_character, data)
    views = {data, unescaped, _FOLDS.sub(b"", data), _FOLDS.sub(b"", unescaped)}
    hits = []
    for view in sorted(views):
        lower = view.lower()
        for form, needle in _NEEDLES.items():
            at_ = (view if form.startswith("base64") else lower).find(needle)
            if at_ >= 0:
                hits.append(f"{form}: {view[max(0, at_ - 60) : at_ + 60]!r}")
    return hits


def files(*folders: Path) -> dict[str, bytes]:
    """The content of all that lies in some folders; their names and those of the files are content, too."""
    found = {str(file): file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file()}
    return {**found, "names": "\n".join(found).encode()}


class Records(logging.Handler):
    """A log at the lowest level, of all libraries: what is said, of what it is made, and where it failed."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.texts.append(f"{record.name} {record.getMessage()} {record.msg!r} {record.args!r} {record.exc_info!r}")

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._level = root.level
        root.setLevel(logging.DEBUG)
        root.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._level)


# The data: a connection with a canary wherever the API sends a credential, and wherever it may send one some day.

METADATA: Final = "looks-like-a-token-0123456789abcdef"
"""A value of ``providerMetadata``: data of the customer's, whatever it looks like, and no credential."""

NEW_NAMES: Final = ("accessKey", "bearer", "clientSecret", "jwt", "password", "privateKey", "refresh_token", "token")
"""Names under which a new field may come."""


def _new(place: str) -> dict[str, Any]:
    """Fields that nobody knows, of several forms, in one object of an answer."""
    values = {name: canary(f"{place}.{name}") for name in NEW_NAMES}
    return {
        **values,
        "headers": {"Authorization": f"Bearer {canary(f'{place}.headers')}"},
        "keys": [canary(f"{place}.keys"), {"value": canary(f"{place}.keys.value")}],
        canary(f"{place}.name"): True,
    }


def connection(identifier: str = "conn_1", **changes: Any) -> dict[str, Any]:
    """A connection as the API sends it, its credentials canaries, known fields and new ones.

    Args:
        identifier: Its ID.
        changes: Fields to change, under the API's names.
    """
    party = {"projectId": "proj_1", "createTime": at(days=-90), "updateTime": at(days=-1)}
    tokens = {
        name: {"token": canary(name), "issuedAt": at(days=-3), "expiresAt": at(days=3), **_new(name)}
        for name in ("accessToken", "refreshToken")
    }
    credentials = {
        "apiKey": canary("apiKey"),
        "basicAuth": {"username": canary("username"), "password": canary("basicPassword")},
        "oauth2AuthorizationCode": {**tokens, "scopes": ["api"], **_new("oauth2AuthorizationCode")},
        "oauth2ClientCredentials": tokens,
        "oauth2Password": tokens,
        "custom": [tokens],
        **_new("connection"),
    }
    data = {
        "status": "bad_credentials",
        "updateTime": at(days=-1),
        "providerWorkspaceRef": "acme-prod",
        "providerConsumerRef": "jo@example.com",
        "group": {"groupRef": "acme", "groupName": "Acme Ltd", **party, **_new("group")},
        "consumer": {"consumerRef": "jo", "consumerName": "Jo", **party, **_new("consumer")},
        "providerApp": {
            "id": "app_1",
            "externalRef": "ext",
            "provider": "salesforce",
            "clientId": "public-id",
            "scopes": ["api", "profile"],
            "metadata": {
                "authQueryParams": {"secret": canary("authQueryParams")},
                "providerParams": {"secret": canary("providerParams")},
                **_new("metadata"),
            },
            **party,
            **_new("providerApp"),
        },
        "providerMetadata": {
            "accessToken": {"value": METADATA, "source": "token", "displayName": "Token", **_new("providerMetadata")}
        },
    }
    return testing.connection(identifier, **{**data, **credentials, **changes})


def misshapen() -> dict[str, dict[str, Any]]:
    """Connections whose credentials have the wrong type, or stand where something else belongs."""
    wrong: list[Any] = [canary("text"), [canary("list")], {canary("key"): 1}, {"token": [canary("deep")]}]
    whole = connection()
    grant = whole["oauth2AuthorizationCode"]
    found: dict[str, dict[str, Any]] = {}
    for number, value in enumerate(wrong):
        for name in ("apiKey", "basicAuth", "oauth2AuthorizationCode", "custom"):
            found[f"{name}-{number}"] = connection(**{name: value})
        for name in ("accessToken", "refreshToken", "scopes"):
            if not (name == "scopes" and isinstance(value, str | list)):
                found[f"grant-{name}-{number}"] = connection(oauth2AuthorizationCode={**grant, name: value})
        token = {**grant["accessToken"], "token": value}
        found[f"token-{number}"] = connection(oauth2AuthorizationCode={**grant, "accessToken": token, "scopes": 5})
        found[f"beside-{number}"] = connection(group=5, providerApp=[], custom=value)
        if not isinstance(value, str):
            found[f"time-{number}"] = connection(updateTime=value, createTime=value)
            found[f"party-{number}"] = connection(group=value, consumer=value)
    return found


def body(*connections: Mapping[str, Any]) -> bytes:
    """Connections as an answer of the API, in which there is something to find."""
    made = json.dumps(connections).encode()
    assert leaks(made)
    return made


def leaves(document: Any, place: str = "") -> Iterable[tuple[str, Any]]:
    """The path and value of everything in a JSON document that is no object or list."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from leaves(value, f"{place}.{name}" if place else name)
    elif isinstance(document, list):
        for value in document:
            yield from leaves(value, place)
    else:
        yield place, document
