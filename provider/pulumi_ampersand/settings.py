"""Where the API key, the API's root and the project come from: the stack's configuration, else the environment.

The environment variables are those that Ampersand's own command line reads. A `Settings` object only *names* where a
key is found, so that it can be pickled, printed and kept in a state; `Settings.resolve` looks the values up.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from pulumi_ampersand.errors import SettingsError

DEFAULT_API_URL: Final = "https://api.withampersand.com"
NAMESPACE: Final = "ampersand"
CONFIG_KEYS: Final = ("apiKey", "apiUrl", "gate", "project")
"""The names that mean something under ``ampersand:`` in a stack's configuration."""


class Lookup(Protocol):
    """A stack's configuration under full keys (``ampersand:apiKey``), secrets decrypted: a mapping, or alike."""

    def get(self, key: str, /) -> Any:
        """The value of a key, a string, or None."""


class ApiKey:
    """An API key that shows itself nowhere: not in a repr, a log or a format string.

    Args:
        value: The key.
        source: The name of the place where it was found, for the error.

    Raises:
        SettingsError: No HTTP header can carry it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, source: str = f"{NAMESPACE}:apiKey") -> None:
        if not (value and value.isascii() and value.isprintable()) or " " in value:
            raise SettingsError(
                "the API key is empty or has characters that no HTTP header can carry; "
                f"run: pulumi config set --secret {source} <key>"
            )
        self._value = value

    def __repr__(self) -> str:
        return "ApiKey(…)"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("an API key is never pickled")

    def reveal(self) -> str:
        """The key itself, for the request header and for nothing else."""
        return self._value

    def cut_from(self, text: str) -> str:
        """Replace the key in text that a server sent, which may echo it, in other letter case, too (host names)."""
        return re.sub(re.escape(self._value), "[API key]", text, flags=re.IGNORECASE)


@dataclass(frozen=True)
class Access:
    """What a client needs.

    Attributes:
        api_key: The API key.
        api_url: The API's root, without ``/v1`` and without a slash at the end.
    """

    api_key: ApiKey
    api_url: str


@dataclass(frozen=True)
class Settings:
    """Names the places that a key, a root and a project are read from.

    Attributes:
        api_key_config: The stack-configuration key that holds the API key.
        api_key_env: The environment variable that holds it where the stack's configuration doesn't.
    """

    api_key_config: str = f"{NAMESPACE}:apiKey"
    api_key_env: str = "AMP_API_KEY"

    def resolve(self, config: Lookup, environ: Mapping[str, str]) -> Access:
        """Look up the API key and the API's root.

        Args:
            config: The stack's configuration.
            environ: The environment.

        Raises:
            SettingsError: There is no key, or the key or the root can't be used.
        """
        key = _first(config.get(self.api_key_config), environ.get(self.api_key_env))
        if not key:
            raise SettingsError(
                f"no API key; run: pulumi config set --secret {self.api_key_config} <key> (or set {self.api_key_env})"
            )
        url = _first(config.get(f"{NAMESPACE}:apiUrl"), environ.get("AMP_API_URL"), DEFAULT_API_URL)
        return Access(ApiKey(key, self.api_key_config), _root(url))

    def project(self, config: Lookup, environ: Mapping[str, str]) -> str:
        """The project (ID or name) to read where a caller names none.

        Raises:
            SettingsError: None is set.
        """
        project = _first(config.get(f"{NAMESPACE}:project"), environ.get("AMP_PROJECT"))
        if not project:
            raise SettingsError(
                "no project; run: pulumi config set ampersand:project <id or name> "
                "(or pass project=…, or set AMP_PROJECT)"
            )
        return project


def _first(*values: str | None) -> str:
    """The first value that isn't blank, without the line end that it may have from a file or a pipe; else nothing."""
    return next((value.strip() for value in values if value and value.strip()), "")


def _root(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        host = None
    where = "ampersand:apiUrl (or AMP_API_URL)"
    # urlsplit drops line ends without a word.
    if not host or parts.scheme not in {"http", "https"} or not url.isprintable() or " " in url:
        raise SettingsError(f"{where} is no http or https URL; the default is {DEFAULT_API_URL}")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise SettingsError(f"{where} must be a plain URL: no user name, password, query or fragment")
    root = parts._replace(scheme=parts.scheme.lower()).geturl().rstrip("/")
    if root.endswith("/v1"):
        raise SettingsError(f"{where} is the root without /v1; run: pulumi config set ampersand:apiUrl {root[:-3]}")
    return root


def nearest(name: str, valid: Iterable[str]) -> str:
    """`` (did you mean "x"?)`` for the valid name nearest to ``name``, or nothing where none is near."""
    by_case = {candidate.lower(): candidate for candidate in valid}
    found = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=0.5)
    return f' (did you mean "{by_case[found[0]]}"?)' if found else ""


def unknown_keys(config: Mapping[str, str], project: str = "") -> list[str]:
    """One sentence for each key under ``ampersand:`` that means nothing.

    Args:
        config: The stack's configuration under full keys.
        project: The Pulumi project's name. A project called "ampersand" keeps its own configuration in this namespace,
            so there only what looks like a misspelling counts.
    """
    sentences = []
    for full in sorted(config):
        namespace, _, name = full.partition(":")
        if namespace != NAMESPACE or name in CONFIG_KEYS:
            continue
        hint = nearest(name, CONFIG_KEYS)
        if hint or project != NAMESPACE:
            sentences.append(
                f'"{full}" is no setting{hint}; the settings are {", ".join(CONFIG_KEYS)}; run: pulumi config rm {full}'
            )
    return sentences
