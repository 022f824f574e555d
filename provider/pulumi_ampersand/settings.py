"""Where the API key, the API's root, the project and the rest of a client's settings come from.

In this order: a `Settings` object, the stack's configuration, the environment, whose variables are those that
Ampersand's own command line and HTTP clients read. A `Settings` object only *names* where a key is found, so that it
can be pickled, printed and kept in a state; `Settings.resolve` looks the values up.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args
from urllib.parse import urlsplit

from pulumi_ampersand.arguments import named, nearest
from pulumi_ampersand.errors import SettingsError, plain_errors
from pulumi_ampersand.secret import Secret

Details = Literal["auto", "always", "never"]
"""Whether to ask for connections one by one, for what their list leaves out: granted scopes and token times.

``auto``: where an OAuth connection lacks them; ``always``: for every connection; ``never``: for none.
"""

DETAILS: Final[tuple[Details, ...]] = get_args(Details)

DEFAULT_API_URL: Final = "https://api.withampersand.com"
NAMESPACE: Final = "ampersand"
CONFIG_KEYS: Final = ("apiKey", "apiUrl", "caFile", "concurrency", "details", "gate", "project", "proxy", "timeout")
"""The names that mean something under ``ampersand:`` in a stack's configuration."""

DEFAULT_TIMEOUT: Final = 120.0
DEFAULT_CONCURRENCY: Final = 16
_MOST_AT_ONCE: Final = 256

API_KEY_VARIABLE: Final = "AMP_API_KEY"
API_KEY: Final = "apiKey"
"""What the names of all API keys in a stack's configuration begin with."""
_DEFAULT_PLACES: Final = (f"{NAMESPACE}:{API_KEY}", API_KEY_VARIABLE)
"""The stack-configuration key and the environment variable that hold the API key, where settings name none."""

_FURTHER_KEY: Final = re.compile(r"apiKey[A-Z0-9_-][\w-]*")
"""The names of further API keys: a misspelt ``apiKey`` isn't among them."""

_CONFIG_KEY: Final = re.compile(r"[A-Za-z][\w-]*:[A-Za-z][\w.-]*")
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")


class Lookup(Protocol):
    """A stack's configuration under full keys (``ampersand:apiKey``), secrets decrypted: a mapping, or alike."""

    def get(self, key: str, /) -> Any:
        """The value of a key, a string, or None."""


class ApiKey(Secret):
    """An API key that shows itself nowhere: not in a repr, a log or a format string.

    Args:
        value: The key.
        source: The name of the place where it is looked for, for errors: a key of the stack's configuration, or an
            environment variable. The key ``ampersand:apiKey`` stands for AMP_API_KEY, too.

    Raises:
        SettingsError: No HTTP header can carry it.
    """

    __slots__ = ("_source",)

    def __init__(self, value: str, source: str = _DEFAULT_PLACES[0]) -> None:
        self._source = source
        if not (value and value.isascii() and value.isprintable()) or " " in value:
            raise SettingsError(
                f"the API key is empty or has characters that no HTTP header can carry; {self.how_to_set()}"
            )
        super().__init__(value)

    def how_to_set(self) -> str:
        """What to do to have another key."""
        if self._source == _DEFAULT_PLACES[0]:
            return _how_to_set(*_DEFAULT_PLACES)
        return _how_to_set(self._source, None) if ":" in self._source else _how_to_set(None, self._source)

    def cut_from(self, text: str) -> str:
        """Replace the key in text that a server sent, which may echo it, in other letter case, too (host names)."""
        return re.sub(re.escape(self._value), "[API key]", text, flags=re.IGNORECASE)


@dataclass(frozen=True)
class Access:
    """What a client needs.

    Attributes:
        api_key: The API key.
        api_url: The API's root, without ``/v1`` and without a slash at the end.
        proxy: The proxy's URL, which may hold a password; None: what the environment says.
        ca_file: The file with the certificate authorities to trust; None: what the environment says.
        timeout: Seconds for a call, or for the details of a read together.
        concurrency: How many requests may be under way at once.
    """

    api_key: ApiKey
    api_url: str
    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    concurrency: int = DEFAULT_CONCURRENCY


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to reach the API, where that isn't what the stack's configuration and the environment say.

    It names the places that hold a key and never holds one. Where it names one or both, the key is looked for there and
    nowhere else. What is None comes from the stack's configuration, then from the environment, then from a default.

    Attributes:
        api_key_config: The stack-configuration key that holds the API key, "ampersand:apiKeyEu" for example; under
            ``ampersand:`` its name must begin with ``apiKey``.
        api_key_env: The environment variable that holds it.
        project: The project, ID or name. (``ampersand:project``, AMP_PROJECT)
        api_url: The API's root without ``/v1``. (``ampersand:apiUrl``, AMP_API_URL)
        proxy: A proxy's URL; one with a password belongs into the secret ``ampersand:proxy``. (``ampersand:proxy``,
            HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY)
        ca_file: A file with the certificate authorities to trust, PEM. (``ampersand:caFile``, SSL_CERT_FILE)
        timeout: Seconds for a call, repetitions included, or for the details of a read together; 120 by default.
            (``ampersand:timeout``, AMP_TIMEOUT)
        concurrency: How many requests may be under way at once, 1 to 256; 16 by default. (``ampersand:concurrency``)

    Raises:
        SettingsError: An argument can't be used; says which, and doesn't quote it.
    """

    api_key_config: str | None = None
    api_key_env: str | None = None
    project: str | None = None
    api_url: str | None = None
    proxy: str | None = None
    ca_file: str | None = None
    timeout: float | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        with plain_errors():
            self._check()

    def _check(self) -> None:
        for name in ("api_key_config", "api_key_env", "project", "api_url", "proxy", "ca_file"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and value.strip()):
                raise SettingsError(f"Settings: {name} must be text that isn't empty")
        # A key in the place of its name would travel into the state.
        if self.api_key_config is not None:
            namespace, _, name = self.api_key_config.partition(":")
            ours = namespace == NAMESPACE
            if not _CONFIG_KEY.fullmatch(self.api_key_config) or (ours and not _is_key_name(name)):
                raise SettingsError(
                    "Settings: api_key_config must name a key of the stack's configuration, "
                    f'"{NAMESPACE}:apiKeyEu" for example; under {NAMESPACE}: its name begins with apiKey'
                )
        if self.api_key_env is not None and not _VARIABLE.fullmatch(self.api_key_env):
            raise SettingsError(
                "Settings: api_key_env must name an environment variable in capitals, AMP_API_KEY_EU for example"
            )
        if self.api_url is not None:
            object.__setattr__(self, "api_url", _root(self.api_url, "Settings: api_url"))
        if self.proxy is not None and "@" in self.proxy:
            raise SettingsError(
                "Settings: proxy must have no user name and password, for settings lie in the state; "
                f"run: pulumi config set --secret {NAMESPACE}:proxy <URL>"
            )
        if self.timeout is not None:
            object.__setattr__(self, "timeout", _seconds(self.timeout, "Settings: timeout"))
        if self.concurrency is not None:
            object.__setattr__(self, "concurrency", _count(self.concurrency, "Settings: concurrency"))

    def resolve(self, config: Lookup, environ: Mapping[str, str]) -> Access:
        """Look up everything that a client needs.

        Args:
            config: The stack's configuration.
            environ: The environment.

        Raises:
            SettingsError: There is no key, or a value can't be used.
        """
        config_key, variable = self.api_key_config, self.api_key_env
        if config_key is None and variable is None:
            config_key, variable = _DEFAULT_PLACES
        key = source = ""
        if config_key is not None:
            key, source = _first(config.get(config_key)), config_key
        if not key and variable is not None:
            key, source = _first(environ.get(variable)), variable
        if not key:
            raise SettingsError(f"no API key; {_how_to_set(config_key, variable)}")
        timeout = _first(config.get(f"{NAMESPACE}:timeout"), environ.get("AMP_TIMEOUT"))
        concurrency = _first(config.get(f"{NAMESPACE}:concurrency"))
        return Access(
            ApiKey(key, source if self.api_key_config or self.api_key_env else _DEFAULT_PLACES[0]),
            self.api_url
            or _root(
                _first(config.get(f"{NAMESPACE}:apiUrl"), environ.get("AMP_API_URL"), DEFAULT_API_URL),
                f"{NAMESPACE}:apiUrl (or AMP_API_URL)",
            ),
            proxy=self.proxy or _first(config.get(f"{NAMESPACE}:proxy")) or None,
            ca_file=self._ca_file(config),
            timeout=self.timeout
            or (_seconds(timeout, f"{NAMESPACE}:timeout (or AMP_TIMEOUT)") if timeout else DEFAULT_TIMEOUT),
            concurrency=self.concurrency
            or (_count(concurrency, f"{NAMESPACE}:concurrency") if concurrency else DEFAULT_CONCURRENCY),
        )

    def project_in(self, config: Lookup, environ: Mapping[str, str]) -> str:
        """The project (ID or name) to read where a caller names none.

        Raises:
            SettingsError: None is set.
        """
        project = self.project or _first(config.get(f"{NAMESPACE}:project"), environ.get("AMP_PROJECT"))
        if not project:
            raise SettingsError(
                "no project; run: pulumi config set ampersand:project <id or name> "
                "(or pass project=…, or set AMP_PROJECT)"
            )
        return project

    def document(self) -> dict[str, Any]:
        """What isn't None, under the names of a resource's properties (``apiKeyConfig``)."""
        values = {property_name(part.name): getattr(self, part.name) for part in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_document(cls, document: Any) -> Settings:
        """The settings that `document` gave.

        Raises:
            SettingsError: It isn't what this version writes.
        """
        names = {property_name(part.name): part.name for part in dataclasses.fields(cls)}
        if not isinstance(document, Mapping):
            raise SettingsError("settings must be a Settings object")
        for name in document:
            if name not in names:
                raise SettingsError(f'settings: "{name}" is of a newer version; upgrade pulumi-ampersand')
        return cls(**{names[name]: value for name, value in document.items()})

    def _ca_file(self, config: Lookup) -> str | None:
        path = self.ca_file or _first(config.get(f"{NAMESPACE}:caFile"))
        if path and not Path(path).is_file():
            name = "Settings: ca_file" if self.ca_file else f"{NAMESPACE}:caFile"
            raise SettingsError(f"{name}: there is no file {path}")
        return path or None


Settings.__init__ = named(Settings.__init__)  # type: ignore[method-assign]


def default_details(config: Lookup) -> Details:
    """What ``ampersand:details`` says; ``auto`` where it says nothing.

    Raises:
        SettingsError: It is none of the three words.
    """
    return checked_details(_first(config.get(f"{NAMESPACE}:details")) or "auto", f"{NAMESPACE}:details")


def checked_details(value: Any, name: str = "details") -> Details:
    """The value, if it is one of the three words.

    Raises:
        SettingsError: It isn't; names the place.
    """
    for word in DETAILS:
        if value == word:
            return word
    hint = nearest(value, DETAILS) if isinstance(value, str) else ""
    raise SettingsError(f"{name} must be {', '.join(DETAILS[:-1])} or {DETAILS[-1]}{hint}")


def property_name(name: str) -> str:
    """An argument's name as a resource's property, which has the API's spelling (``groupRef``)."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _how_to_set(config_key: str | None, variable: str | None) -> str:
    """How to set an API key in one of the places, or in either."""
    if config_key is None:
        return f"set {variable}"
    run = f"run: pulumi config set --secret {config_key} <key>"
    return f"{run} (or set {variable})" if variable else run


def _is_key_name(name: str) -> bool:
    return name == API_KEY or bool(_FURTHER_KEY.fullmatch(name))


def _seconds(value: Any, name: str) -> float:
    number = _number(value)
    if number is None or not 0 < number <= 3600:
        raise SettingsError(f"{name} must be a number of seconds, more than 0 and 3600 at the most")
    return number


def _count(value: Any, name: str) -> int:
    number = _number(value)
    if number is None or not number.is_integer() or not 1 <= number <= _MOST_AT_ONCE:
        raise SettingsError(f"{name} must be a whole number, 1 to {_MOST_AT_ONCE}")
    return int(number)


def _number(value: Any) -> float | None:
    """A number that may have come as text, as the stack's configuration has it; None if it is none."""
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _first(*values: Any) -> str:
    """The first value that isn't blank, without the line end that it may have from a file or a pipe; else nothing."""
    return next((text for value in values if value is not None and (text := str(value).strip())), "")


def _root(url: str, where: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        host = None
    # urlsplit drops line ends without a word.
    if not host or parts.scheme not in {"http", "https"} or not url.isprintable() or " " in url:
        raise SettingsError(f"{where} is no http or https URL; the default is {DEFAULT_API_URL}")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise SettingsError(f"{where} must be a plain URL: no user name, password, query or fragment")
    root = parts._replace(scheme=parts.scheme.lower()).geturl().rstrip("/")
    if root.endswith("/v1"):
        raise SettingsError(f"{where} is the root without /v1; set it to {root[:-3]}")
    return root


def unknown_keys(config: Iterable[str], project: str = "") -> list[str]:
    """One sentence for each key under ``ampersand:`` that means nothing.

    Further API keys (``ampersand:apiKeyEu``), which programs name in `Settings`, do mean something.

    Args:
        config: The full keys of the stack's configuration.
        project: The Pulumi project's name. A project called "ampersand" keeps its own configuration in this namespace,
            so there only what looks like a misspelling counts.
    """
    sentences = []
    for full in sorted(config):
        namespace, _, name = full.partition(":")
        if namespace != NAMESPACE or name in CONFIG_KEYS or _is_key_name(name):
            continue
        hint = nearest(name, CONFIG_KEYS, 0.75 if project == NAMESPACE else 0.5)
        if hint or project != NAMESPACE:
            sentences.append(
                f'"{full}" is no setting{hint}; the settings are {", ".join(CONFIG_KEYS)}; run: pulumi config rm {full}'
            )
    return sentences
