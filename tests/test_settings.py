"""Where key, root and project come from, and that the key shows itself nowhere."""

import copy
import dataclasses
import json
import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from pulumi_ampersand.arguments import nearest
from pulumi_ampersand.errors import SettingsError
from pulumi_ampersand.settings import (
    CONFIG_KEYS,
    DEFAULT_API_URL,
    Access,
    ApiKey,
    Settings,
    unknown_keys,
)

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
    with pytest.raises(SettingsError, match=r"config set --secret ampersand:apiKeyEu .*AMP_API_KEY_EU"):
        settings.resolve(ordinary, ordinary)


def test_settings_travel_without_a_key() -> None:
    """Settings can be pickled, compared and printed: they hold names."""
    settings = Settings(api_key_env="OTHER")
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert "OTHER" in repr(settings)


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
def test_a_root_with_the_version_is_refused_with_the_command_that_mends_it(url: str) -> None:
    """The vendor's variable names a root without /v1, and so does this setting."""
    with pytest.raises(SettingsError, match=r"without /v1; run: pulumi config set ampersand:apiUrl https://x\.test$"):
        Settings().resolve({"ampersand:apiKey": KEY, "ampersand:apiUrl": url}, {})


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
    [("apikey", "apiKey"), ("api_key", "apiKey"), ("apiURL", "apiUrl"), ("projects", "project"), ("gates", "gate")],
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


def test_nearest_says_nothing_where_nothing_is_near() -> None:
    """A hint that is far off would mislead."""
    assert nearest("zzz", CONFIG_KEYS) == ""
    assert nearest("", CONFIG_KEYS) == ""
    assert nearest("x", ()) == ""
