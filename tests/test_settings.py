"""Where the settings of a client come from, what they do, and that no key shows itself anywhere."""

import base64
import copy
import dataclasses
import json
import logging
import pickle
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2

from pulumi_ampersand.client import Client
from pulumi_ampersand.errors import AmpersandError, SettingsError, TransportError
from pulumi_ampersand.exchange import Limits
from pulumi_ampersand.model import Project
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand.settings import (
    CONFIG_KEYS,
    DEFAULT_API_URL,
    DETAILS,
    Access,
    ApiKey,
    Settings,
    checked_details,
    default_details,
    unknown_keys,
)
from raw_server import CERTIFICATE, RawServer, answer

KEY = "kEy-0123456789"
BLANKS = ["", " ", "\t\r\n"]


def test_the_stack_configuration_comes_before_the_environment() -> None:
    """Key, root and project are taken from the stack's configuration where it has them."""
    config = {"ampersand:apiKey": KEY, "ampersand:apiUrl": "https://stack.test", "ampersand:project": "stack"}
    environ = {"AMP_API_KEY": "other", "AMP_API_URL": "https://other.test", "AMP_PROJECT": "other"}
    access = Settings().resolve(config, environ)
    assert (access.api_key.reveal(), access.api_url) == (KEY, "https://stack.test")
    assert Settings().project_in(config, environ) == "stack"


@pytest.mark.parametrize("config", [{}, *({f"ampersand:{key}": blank for key in CONFIG_KEYS} for blank in BLANKS)])
def test_the_environment_steps_in(config: dict[str, str]) -> None:
    """What the stack's configuration lacks, or has as a blank, comes from the environment."""
    environ = {"AMP_API_KEY": KEY, "AMP_API_URL": "https://env.test", "AMP_PROJECT": "env"}
    access = Settings().resolve(config, environ)
    assert (access.api_key.reveal(), access.api_url) == (KEY, "https://env.test")
    assert Settings().project_in(config, environ) == "env"


@pytest.mark.parametrize("blank", BLANKS)
def test_the_root_has_a_default(blank: str) -> None:
    """Without a root, or with a blank one, the vendor's own is used."""
    assert Settings().resolve({}, {"AMP_API_KEY": KEY}).api_url == DEFAULT_API_URL
    assert Settings().resolve({}, {"AMP_API_KEY": KEY, "AMP_API_URL": blank}).api_url == DEFAULT_API_URL


def test_white_space_around_values_is_dropped() -> None:
    """A line end that came along from a file or a pipe does no harm."""
    config = {"ampersand:apiKey": f"{KEY}\n", "ampersand:apiUrl": " https://x.test\r\n", "ampersand:project": "crm\n"}
    access = Settings().resolve(config, {})
    assert (access.api_key.reveal(), access.api_url) == (KEY, "https://x.test")
    assert Settings().project_in(config, {}) == "crm"


def test_other_names_can_hold_the_key() -> None:
    """Settings name where a key is found, so that one program can use several."""
    settings = Settings(api_key_config="ampersand:apiKeyEu", api_key_env="AMP_API_KEY_EU")
    ordinary = {"ampersand:apiKey": "no", "AMP_API_KEY": "no"}
    assert settings.resolve({**ordinary, "ampersand:apiKeyEu": KEY}, ordinary).api_key.reveal() == KEY
    assert settings.resolve(ordinary, {**ordinary, "AMP_API_KEY_EU": KEY}).api_key.reveal() == KEY
    with pytest.raises(SettingsError) as caught:
        settings.resolve(ordinary, ordinary)
    assert str(caught.value) == (
        "no API key; run: pulumi config set --secret ampersand:apiKeyEu <key> (or set AMP_API_KEY_EU)"
    )


@pytest.mark.parametrize(
    ("settings", "place", "mend"),
    [
        (
            Settings(api_key_config="ampersand:apiKeyEu"),
            "ampersand:apiKeyEu",
            "run: pulumi config set --secret ampersand:apiKeyEu <key>",
        ),
        (Settings(api_key_config="crm:token"), "crm:token", "run: pulumi config set --secret crm:token <key>"),
        (Settings(api_key_env="AMP_API_KEY_EU"), "AMP_API_KEY_EU", "set AMP_API_KEY_EU"),
    ],
    ids=["config", "other-namespace", "env"],
)
def test_a_named_key_is_looked_for_there_and_nowhere_else(settings: Settings, place: str, mend: str) -> None:
    """Another customer's or region's key must not step in: without the named one there is none, and what to do."""
    others = {"ampersand:apiKey": "no", "AMP_API_KEY": "no", "ampersand:apiKeyUs": "no"}
    assert settings.resolve(others | {place: KEY}, others | {place: KEY}).api_key.reveal() == KEY
    for blank in ("", " \n"):
        with pytest.raises(SettingsError) as caught:
            settings.resolve(others | {place: blank}, others | {place: blank})
        assert str(caught.value) == f"no API key; {mend}"
    wrong_place = ({}, {place: KEY}) if settings.api_key_config else ({place: KEY}, {})
    with pytest.raises(SettingsError, match="no API key"):
        settings.resolve(*wrong_place)


PLACES: list[tuple[str, Any, str, Any, tuple[str, Any] | None, Any]] = [
    ("api_url", "https://a.test", "apiUrl", "https://b.test", ("AMP_API_URL", "https://c.test"), DEFAULT_API_URL),
    ("proxy", "http://a.test:1", "proxy", "http://u:pass@b.test:2", None, None),
    ("ca_file", str(CERTIFICATE), "caFile", str(CERTIFICATE.parent / ".." / "data" / CERTIFICATE.name), None, None),
    ("timeout", 7.5, "timeout", 8.25, ("AMP_TIMEOUT", 9.5), 120.0),
    ("concurrency", 3, "concurrency", 4, None, 16),
]
"""Of each field of `Access` but the key: a value for `Settings`, the key and a value in the stack's configuration, the
environment variable and a value in it, the default."""


@pytest.mark.parametrize(
    ("name", "own", "key", "of_stack", "variable", "default"), PLACES, ids=[place[0] for place in PLACES]
)
def test_settings_come_before_the_stack_and_the_environment(
    *, name: str, own: Any, key: str, of_stack: Any, variable: tuple[str, Any] | None, default: Any
) -> None:
    """Of each setting what `Settings` says, else the stack's configuration, else the environment, else a default."""

    def found(settings: Settings, config: dict[str, str], environ: dict[str, str]) -> Any:
        return getattr(settings.resolve({"ampersand:apiKey": KEY, **config}, environ), name)

    config = {f"ampersand:{key}": f" {of_stack}\n"}
    environ = {} if variable is None else {variable[0]: f" {variable[1]}\n"}
    assert found(Settings(**{name: own}), config, environ) == own
    assert type(found(Settings(**{name: own}), config, environ)) is type(own)
    assert found(Settings(), config, environ) == of_stack
    assert type(found(Settings(), config, environ)) is type(of_stack)
    assert found(Settings(), {f"ampersand:{key}": " "}, environ) == (variable[1] if variable else default)
    assert found(Settings(), {}, {}) == default


def test_the_project_of_settings_comes_first() -> None:
    """Before that of the stack and of the environment."""
    config, environ = {"ampersand:project": "stack"}, {"AMP_PROJECT": "env"}
    assert Settings(project="own").project_in(config, environ) == "own"
    assert Settings(project="own").project_in({}, {}) == "own"
    assert Settings(api_key_env="X").project_in(config, environ) == "stack"
    assert Settings().project_in({}, environ) == "env"


WHOLE = Settings(
    api_key_config="ampersand:apiKeyEu",
    api_key_env="AMP_API_KEY_EU",
    project="crm",
    api_url="https://x.test/",
    proxy="http://proxy.test:3128",
    ca_file="ca.pem",
    timeout=30,
    concurrency=16,
)


@pytest.mark.parametrize("settings", [Settings(), Settings(api_key_env="OTHER"), WHOLE], ids=["none", "one", "all"])
def test_settings_travel_without_a_key(settings: Settings) -> None:
    """Settings can be pickled, compared, hashed and printed: they hold names."""
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert len({settings, copy.deepcopy(settings), eval(repr(settings), {"Settings": Settings})}) == 1
    assert settings != Settings(api_key_env="ANOTHER")


def test_settings_stay_as_they_are() -> None:
    """What one client was made with must not change under it."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        WHOLE.project = "other"  # type: ignore[misc]


def test_settings_become_a_document() -> None:
    """What isn't None, under the names that properties of resources have."""
    assert Settings().document() == {}
    assert WHOLE.document() == {
        "apiKeyConfig": "ampersand:apiKeyEu",
        "apiKeyEnv": "AMP_API_KEY_EU",
        "project": "crm",
        "apiUrl": "https://x.test",
        "proxy": "http://proxy.test:3128",
        "caFile": "ca.pem",
        "timeout": 30.0,
        "concurrency": 16,
    }


@pytest.mark.parametrize("settings", [Settings(), Settings(concurrency=3), WHOLE], ids=["none", "one", "all"])
def test_a_document_becomes_the_same_settings(settings: Settings) -> None:
    """Also after travelling through the engine, which knows one kind of number: the same settings, the same client."""
    message = struct_pb2.Struct()
    message.update(settings.document())
    travelled = json_format.MessageToDict(message)
    if settings.concurrency is not None:
        assert type(travelled["concurrency"]) is float
    again = Settings.from_document(travelled)
    assert again == settings
    assert hash(again) == hash(settings)
    assert repr(again) == repr(settings)
    assert again.document() == settings.document()


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"apiKeyFile": "x"}, 'settings: "apiKeyFile" is of a newer version; upgrade pulumi-ampersand'),
        ({"api_url": "https://x.test"}, 'settings: "api_url" is of a newer version; upgrade pulumi-ampersand'),
        ({"timeout": "soon"}, "Settings: timeout must be a number of seconds, more than 0 and 3600 at the most"),
        ({"project": 5.0}, "Settings: project must be text that isn't empty"),
        ("crm", "settings must be a Settings object"),
        ([], "settings must be a Settings object"),
        (None, "settings must be a Settings object"),
    ],
    ids=str,
)
def test_a_document_that_is_none_is_refused(document: Any, sentence: str) -> None:
    """A state may have been written by a newer version, or edited."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_document(document)
    assert str(caught.value) == sentence


NO_NUMBERS: list[Any] = [float("nan"), float("inf"), 10**400, "CANARY", "", True, False, [1], {}, b"CANARY"]
KEY_CONFIG = (
    "Settings: api_key_config must name a key of the stack's configuration, "
    '"ampersand:apiKeyEu" for example; under ampersand: its name begins with apiKey'
)
PROXY_WITH_A_PASSWORD = (
    "Settings: proxy must have no user name and password, for settings lie in the state; "
    "run: pulumi config set --secret ampersand:proxy <URL>"
)
KEY_ENV = "Settings: api_key_env must name an environment variable in capitals, AMP_API_KEY_EU for example"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        *(
            ("api_key_config", value, KEY_CONFIG)
            for value in (
                "sk_live_CANARY",
                "CANARY",
                "ampersand:CANARY",
                "ampersand:sk_live_CANARY",
                "ampersand:apiKeyCANARY ",
                "ampersand:apikeyCANARY",
                "ampersand:apiKeyyCANARY",
                "ampersand:project",
                "ampersand:proxy",
                "ampersand:",
                ":apiKey",
                "a:b:CANARY",
                "CANARY key:a",
            )
        ),
        *(
            ("api_key_env", value, KEY_ENV)
            for value in ("sk_live_CANARY", "canary-CANARY", "5CANARY", "CANARY KEY", "CANARY=x", "amp_CANARY")
        ),
        *(
            (name, value, f"Settings: {name} must be text that isn't empty")
            for name in ("api_key_config", "api_key_env", "project", "api_url", "proxy", "ca_file")
            for value in ("", " ", 5, True, ["CANARY"], {"CANARY": 1}, b"CANARY")
        ),
        ("api_url", "CANARY", f"Settings: api_url is no http or https URL; the default is {DEFAULT_API_URL}"),
        (
            "api_url",
            "https://u:CANARY@x.test",
            "Settings: api_url must be a plain URL: no user name, password, query or fragment",
        ),
        (
            "proxy",
            "http://u:CANARY@x.test:3128",
            PROXY_WITH_A_PASSWORD,
        ),
        *(
            ("timeout", value, "Settings: timeout must be a number of seconds, more than 0 and 3600 at the most")
            for value in (0, -1, 3600.1, *NO_NUMBERS)
        ),
        *(
            ("concurrency", value, "Settings: concurrency must be a whole number, 1 to 256")
            for value in (0, -1, 257, 1.5, *NO_NUMBERS)
        ),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_a_value_that_cannot_be_used_is_refused_unseen(name: str, value: Any, sentence: str) -> None:
    """By a sentence that names the argument. A key in the place of its name would travel into the state."""
    with pytest.raises(SettingsError) as caught:
        Settings(**{name: value})
    assert str(caught.value) == sentence
    assert "CANARY" not in "".join(traceback.format_exception_only(caught.value))


@pytest.mark.parametrize(
    "name", ["ampersand:apiKey", "ampersand:apiKeyEu", "ampersand:apiKey-eu", "crm:k", "a-b:c.d_e"]
)
def test_names_of_keys_are_accepted(name: str) -> None:
    """Those of further keys, and any of another namespace."""
    assert Settings(api_key_config=name).api_key_config == name


def test_an_argument_that_is_none_is_named() -> None:
    """With the nearest one that there is."""
    with pytest.raises(SettingsError) as caught:
        Settings(api_key_configg="CANARY")  # type: ignore[call-arg]
    assert str(caught.value) == (
        'Settings has no argument "api_key_configg" (did you mean "api_key_config"?); it takes api_key_config, '
        "api_key_env, project, api_url, proxy, ca_file, timeout, concurrency"
    )


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        *(
            (
                "timeout",
                value,
                "ampersand:timeout (or AMP_TIMEOUT) must be a number of seconds, more than 0 and 3600 at the most",
            )
            for value in ("soon", "0", "-3", "4000", "nan", "inf", "true", "1 s")
        ),
        *(
            ("concurrency", value, "ampersand:concurrency must be a whole number, 1 to 256")
            for value in ("many", "0", "257", "2.5", "nan", "1e9", "true")
        ),
        ("caFile", "/missing/ca.pem", "ampersand:caFile: there is no file /missing/ca.pem"),
    ],
)
def test_a_stack_setting_that_cannot_be_used_is_refused(key: str, value: str, sentence: str) -> None:
    """By a sentence that names the setting."""
    with pytest.raises(SettingsError) as caught:
        Settings().resolve({"ampersand:apiKey": KEY, f"ampersand:{key}": value}, {})
    assert str(caught.value) == sentence


def test_a_missing_ca_file_is_an_error(tmp_path: Path) -> None:
    """Otherwise every certificate would be refused, or the system's be trusted; a folder is no file."""
    for path in (tmp_path / "missing.pem", tmp_path):
        with pytest.raises(SettingsError) as caught:
            Settings(ca_file=str(path)).resolve({"ampersand:apiKey": KEY}, {})
        assert str(caught.value) == f"Settings: ca_file: there is no file {path}"


@pytest.mark.parametrize(
    ("config", "details"),
    [({}, "auto"), ({"ampersand:details": " "}, "auto")]
    + [({"ampersand:details": f"{word}\n"}, word) for word in ("auto", "always", "never")],
)
def test_details_come_from_the_stack(config: dict[str, str], details: str) -> None:
    """``auto`` where it says nothing."""
    assert default_details(config) == details
    assert details in DETAILS


@pytest.mark.parametrize(
    ("value", "hint"),
    [("Never", ' (did you mean "never"?)'), ("alway", ' (did you mean "always"?)'), ("xyz", ""), ("true", "")],
)
def test_details_that_are_none_are_refused(value: str, hint: str) -> None:
    """By a sentence that names the place, the three words and the nearest of them."""
    with pytest.raises(SettingsError) as caught:
        default_details({"ampersand:details": value})
    assert str(caught.value) == f"ampersand:details must be auto, always or never{hint}"
    with pytest.raises(SettingsError) as caught:
        checked_details(value)
    assert str(caught.value) == f"details must be auto, always or never{hint}"
    assert [checked_details(word) for word in DETAILS] == list(DETAILS)


# What a client does with them.


def reach(server: RawServer | str, settings: Settings, **config: str) -> list[Project]:
    """Ask a server with these settings for its projects."""
    url = server if isinstance(server, str) else server.url
    access = settings.resolve({"ampersand:apiKey": KEY, "ampersand:apiUrl": url} | config, {})
    with Client(access, limits=Limits(attempts=1)) as client:
        return client.list_projects()


@pytest.fixture
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither proxies nor certificates come from the environment."""
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("_plain_environment")
def test_a_ca_file_makes_its_certificates_known() -> None:
    """A server with a certificate of one's own authority is reached with it, and refused without."""
    with RawServer(answer(b"[]"), tls=True) as server:
        with pytest.raises(TransportError, match="certificate"):
            reach(server, Settings())
        assert server.requests == []
        assert reach(server, Settings(ca_file=str(CERTIFICATE))) == []
        assert reach(server, Settings(), **{"ampersand:caFile": str(CERTIFICATE)}) == []
        assert len(server.requests) == 2


@pytest.mark.usefixtures("_plain_environment")
def test_a_ca_file_without_certificates_is_an_error(tmp_path: Path) -> None:
    """Told when the client is made, with the settings to check, before anything is sent."""
    file = tmp_path / "ca.pem"
    file.write_text("CANARY, no certificate")
    with RawServer(answer(b"[]"), tls=True) as server:
        with pytest.raises(
            SettingsError, match=r"can't be used: .*check ampersand:proxy and ampersand:caFile"
        ) as caught:
            reach(server, Settings(ca_file=str(file)))
        assert "CANARY" not in str(caught.value)
        assert server.requests == []


@pytest.mark.usefixtures("_plain_environment")
@pytest.mark.parametrize("place", ["settings", "config", "environment"])
def test_a_proxy_is_used(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for the API's whole URL; what `Settings` or the stack say comes before the environment."""
    with RawServer(answer(b"[]")) as proxy, RawServer(answer(b"[]", 500)) as other:
        monkeypatch.setenv("HTTP_PROXY", proxy.url if place == "environment" else other.url)
        settings = Settings(proxy=proxy.url) if place == "settings" else Settings()
        config = {"ampersand:proxy": {"settings": other.url, "config": proxy.url, "environment": " "}[place]}
        assert reach("http://api.test/root", settings, **config) == []
    (request,) = proxy.requests
    assert request.startswith("GET http://api.test/root/v1/projects HTTP/1.1\r\n")
    assert f"x-api-key: {KEY}" in request.lower().replace(KEY.lower(), KEY)
    assert other.requests == []


@pytest.mark.usefixtures("_plain_environment")
def test_a_proxys_password_is_sent_to_it_and_shown_nowhere() -> None:
    """The stack's secret may hold one: not in a repr, and not in the error of a proxy that refuses it."""
    with RawServer(answer(b"", 407)) as proxy:
        secret = proxy.url.replace("//", "//user:CANARY@")
        access = Settings().resolve({"ampersand:apiKey": KEY, "ampersand:proxy": secret}, {})
        assert access.proxy == secret
        assert "CANARY" not in f"{access!r} {access}"
        with pytest.raises(AmpersandError) as caught:
            reach("http://api.test", Settings(), **{"ampersand:proxy": secret})
    sent = base64.b64encode(b"user:CANARY").decode()
    assert f"proxy-authorization: basic {sent}".lower() in proxy.requests[0].lower()
    shown = "".join(traceback.format_exception(caught.value))
    assert "407" in shown
    assert "CANARY" not in shown
    assert sent not in shown


@pytest.mark.usefixtures("_plain_environment")
@pytest.mark.parametrize("value", ["gopher://u:CANARY@x.test:1", "http://u:CANARY", "http://[::1", "CANARY"])
def test_a_proxy_that_is_none_is_an_error(value: str) -> None:
    """Told in one line, when the client is made, and without a password."""
    with pytest.raises(SettingsError, match="check ampersand:proxy") as caught:
        reach("http://api.test", Settings(), **{"ampersand:proxy": value})
    shown = "".join(traceback.format_exception(caught.value))
    assert "CANARY" not in shown.replace(__file__, "")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.usefixtures("_plain_environment")
@pytest.mark.parametrize("place", ["settings", "config"])
def test_a_timeout_bounds_the_call(place: str) -> None:
    """A server that says nothing is given up after that time, connecting, reading and repeating included."""
    with Sandbox(connections=[], faults=["slow:30"]) as sandbox:
        config = {"ampersand:apiKey": sandbox.api_key, "ampersand:apiUrl": sandbox.url}
        settings = Settings(timeout=0.3) if place == "settings" else Settings()
        with Client(
            settings.resolve(config | {"ampersand:timeout": "30" if place == "settings" else "0.3"}, {})
        ) as client:
            start = time.monotonic()
            with pytest.raises(TransportError, match=r"no answer after 0\.3 s"):
                client.list_projects()
            assert 0.3 <= time.monotonic() - start < 5
        assert len(sandbox.requests) == 1


@pytest.mark.parametrize(
    ("seconds", "bounds"), [(5.0, (5.0, 5.0, 5.0)), (20.0, (10.0, 20.0, 20.0)), (500.0, (10.0, 30.0, 500.0))]
)
def test_no_bound_is_longer_than_the_timeout(seconds: float, bounds: tuple[float, float, float]) -> None:
    """Connecting and each read have shorter bounds, where those are shorter."""
    limits = Limits.within(seconds)
    assert (limits.connect, limits.read, limits.total) == bounds
    assert (limits.attempts, limits.answer) == (Limits().attempts, Limits().answer)


@pytest.mark.parametrize("blank", BLANKS)
def test_a_missing_key_is_an_error_with_a_remedy(blank: str) -> None:
    """Without a key, the message has the command that sets it and the variable."""
    with pytest.raises(
        SettingsError, match=r"no API key; run: pulumi config set --secret ampersand:apiKey <key> .*AMP_API_KEY"
    ):
        Settings().resolve({"ampersand:apiKey": blank}, {"AMP_API_KEY": blank})


@pytest.mark.parametrize("blank", BLANKS)
def test_a_missing_project_is_an_error_with_a_remedy(blank: str) -> None:
    """Without a project, the message has the command that sets it, the argument and the variable."""
    with pytest.raises(SettingsError, match=r"pulumi config set ampersand:project .*project=.*AMP_PROJECT"):
        Settings().project_in({"ampersand:project": blank}, {"AMP_PROJECT": blank})


@pytest.mark.parametrize(
    "key",
    [
        "onyx\nquill",
        "onyx\r\nX-Other: quill",
        "onyx quill",
        "onyx\tquill",
        "onyxquíll",
        "onyx\0quill",
        "onyx\x7fquill",
        "onyx\u202equill",
        "ключ",
    ],
)
def test_a_key_that_no_header_can_carry_is_refused_unseen(key: str) -> None:
    """The message names the setting, and shows nothing of the key."""
    with pytest.raises(SettingsError, match="no HTTP header can carry") as caught:
        Settings(api_key_config="ampersand:apiKeyEu").resolve({"ampersand:apiKeyEu": key}, {})
    assert "ampersand:apiKeyEu" in str(caught.value)
    assert not any(part in str(caught.value) for part in ("onyx", "quill", "quíll", "ключ"))
    with pytest.raises(SettingsError, match="no HTTP header can carry"):
        ApiKey(key)


def test_an_empty_key_is_refused() -> None:
    """An empty key would match everywhere in a text that keys are cut from."""
    with pytest.raises(SettingsError, match="empty"):
        ApiKey("")


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("https://x.test", "https://x.test"),
        ("https://x.test/", "https://x.test"),
        ("https://x.test///", "https://x.test"),
        ("HTTPS://x.test", "https://x.test"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("https://x.test/ampersand/", "https://x.test/ampersand"),
        ("https://x.test/v10", "https://x.test/v10"),
        ("https://x.test?", "https://x.test"),
    ],
)
def test_forms_of_a_root(url: str, root: str) -> None:
    """A root may have a port and a path; a slash at its end counts for nothing."""
    assert Settings().resolve({"ampersand:apiKey": KEY, "ampersand:apiUrl": url}, {}).api_url == root


@pytest.mark.parametrize(
    "url",
    [
        "x.test",
        "//x.test",
        "ftp://x.test",
        "https:",
        "https://",
        "https:///v1",
        "https://:80",
        "http://[::1",
        "http://x.test:port",
        "http://x.test:99999",
        "file:///etc/passwd",
        "https://x .test",
        "https://x.\ntest",
    ],
)
def test_what_is_no_root_is_refused(url: str) -> None:
    """The message names setting and variable, and the default."""
    with pytest.raises(SettingsError, match=r"ampersand:apiUrl \(or AMP_API_URL\) is no http or https URL.*default"):
        Settings().resolve({"ampersand:apiKey": KEY, "ampersand:apiUrl": url}, {})


@pytest.mark.parametrize(
    "url",
    ["https://u:pass@x.test", "https://u@x.test", "https://@x.test", "https://x.test?a=pass", "https://x.test/#pass"],
)
def test_a_root_with_more_than_a_place_is_refused_unseen(url: str) -> None:
    """User names, passwords, queries and fragments aren't accepted, nor shown."""
    with pytest.raises(SettingsError, match="must be a plain URL") as caught:
        Settings().resolve({"ampersand:apiKey": KEY, "ampersand:apiUrl": url}, {})
    assert "pass@" not in str(caught.value)
    assert "=pass" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://x.test/v1", "https://x.test/v1/"])
def test_a_root_with_the_version_is_refused_with_the_right_one(url: str) -> None:
    """The vendor's variable names a root without /v1, and so does this setting."""
    with pytest.raises(SettingsError, match=r"\(or AMP_API_URL\) is the root without /v1; set it to https://x\.test$"):
        Settings().resolve({"ampersand:apiKey": KEY, "ampersand:apiUrl": url}, {})
    with pytest.raises(SettingsError, match=r"^Settings: api_url is the root without /v1; set it to https://x\.test$"):
        Settings(api_url=url)


def test_an_api_key_shows_itself_nowhere() -> None:
    """Not in a repr, a text, a format, a log record, a data class or a JSON error."""
    key = ApiKey(KEY)
    access = Access(key, "https://x.test")
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s %r %s", (key, key, access), None)
    shown = [str(key), repr(key), f"{key}", f"{key!r}", f"{key:}", str([key]), repr({"key": key})]
    shown += [str(access), repr(access), f"{access}", record.getMessage(), str(vars(access))]
    assert all(KEY not in text for text in shown)
    assert "x.test" in repr(access)
    uses: list[Callable[[Any], object]] = [json.dumps, iter, len, vars, dataclasses.asdict]
    for use in uses:
        with pytest.raises(TypeError) as caught:
            use(key)
        assert KEY not in str(caught.value)
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_api_key_is_never_pickled(protocol: int) -> None:
    """A key that was pickled would lie in a state: neither it nor what holds it can be."""
    for value in (ApiKey(KEY), Access(ApiKey(KEY), "https://x.test")):
        with pytest.raises(TypeError, match="never pickled") as caught:
            pickle.dumps(value, protocol)
        assert KEY not in str(caught.value)
        with pytest.raises(TypeError, match="never pickled"):
            copy.deepcopy(value)


def test_a_key_is_cut_from_text() -> None:
    """Wherever a server echoes the key, and in whatever letter case, it is replaced."""
    cut = ApiKey("a.b+K1").cut_from
    assert cut("a.b+K1, https://A.B+k1.test/a.b+K1") == "[API key], https://[API key].test/[API key]"
    assert cut("aXb+K1") == "aXb+K1"
    assert cut("") == ""


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("apikey", "apiKey"),
        ("api_key", "apiKey"),
        ("apiKeyy", "apiKey"),
        ("apiKeys", "apiKey"),
        ("ApiKeyEu", "apiKey"),
        ("apiURL", "apiUrl"),
        ("projects", "project"),
        ("gates", "gate"),
        ("detail", "details"),
        ("cafile", "caFile"),
        ("Proxy", "proxy"),
        ("timeOut", "timeout"),
        ("concurency", "concurrency"),
    ],
)
def test_unknown_keys_come_with_the_nearest_name(name: str, hint: str) -> None:
    """A misspelt setting is reported with the valid one and the command that removes it."""
    (sentence,) = unknown_keys({f"ampersand:{name}": "secret-value", "ampersand:project": "x", "aws:region": "y"})
    assert f'"ampersand:{name}" is no setting (did you mean "{hint}"?)' in sentence
    assert f"run: pulumi config rm ampersand:{name}" in sentence
    assert all(key in sentence for key in CONFIG_KEYS)
    assert "secret-value" not in sentence


def test_known_keys_and_other_namespaces_are_no_matter() -> None:
    """Nothing is reported of valid settings, nor of other providers' configuration."""
    config = dict.fromkeys([*(f"ampersand:{key}" for key in CONFIG_KEYS), "aws:apikey", "apikey", "ampersands:x"], "")
    assert unknown_keys(config) == []
    assert list(CONFIG_KEYS) == sorted(CONFIG_KEYS)


@pytest.mark.parametrize("name", ["apiKeyEu", "apiKey-eu", "apiKey-eu-west", "apiKey_eu", "apiKey2", "apiKeyE"])
def test_further_keys_are_known(name: str) -> None:
    """Programs name them in `Settings`: what may stand there isn't reported here."""
    assert unknown_keys([f"ampersand:{name}"]) == []
    assert Settings(api_key_config=f"ampersand:{name}").api_key_config == f"ampersand:{name}"


def test_unknown_keys_are_sorted() -> None:
    """The sentences come in the same order whatever the configuration's order."""
    config = {"ampersand:zzz": "", "ampersand:qqq": "", "ampersand:xxx": ""}
    found = [sentence.split('"')[1] for sentence in unknown_keys(config)]
    assert found == ["ampersand:qqq", "ampersand:xxx", "ampersand:zzz"]


def test_a_project_called_ampersand_may_have_settings_of_its_own() -> None:
    """There only what looks like a misspelling is reported."""
    config = {"ampersand:replicas": "3", "ampersand:apikey": ""}
    assert len(unknown_keys(config)) == 2
    (sentence,) = unknown_keys(config, project="ampersand")
    assert '"apiKey"' in sentence
