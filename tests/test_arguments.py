"""Arguments that people write: wrong names are told, and values that aren't known yet are told apart."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pulumi
import pytest

from pulumi_ampersand.arguments import is_plain, named, nearest
from pulumi_ampersand.errors import SettingsError


@named
def read(first: str, *, group_ref: str | None = None, provider: str = "any") -> list[str | None]:
    """Docstring of a function."""
    return [first, group_ref, provider]


class Thing:
    """A class whose constructor checks names."""

    @named
    def __init__(self, name: str, *, group_ref: str = "none") -> None:
        self.values = (name, group_ref)


class TestNamed:
    """Keywords that a function doesn't know."""

    def test_what_it_knows_is_handed_on(self) -> None:
        """Positional or by name, with the function's own defaults and result."""
        assert read("a") == ["a", None, "any"]
        assert read(first="a", provider="x", group_ref="b") == ["a", "b", "x"]
        assert Thing("a", group_ref="b").values == ("a", "b")

    def test_it_looks_like_the_function(self) -> None:
        """Name, docstring and signature stay, for help, completion and type checkers."""
        assert (read.__name__, read.__doc__) == ("read", "Docstring of a function.")
        assert list(inspect.signature(read).parameters) == ["first", "group_ref", "provider"]

    @pytest.mark.parametrize(
        ("keyword", "hint"),
        [
            ("groupRef", ' (did you mean "group_ref"?)'),
            ("group", ' (did you mean "group_ref"?)'),
            ("PROVIDER", ' (did you mean "provider"?)'),
            ("provdier", ' (did you mean "provider"?)'),
            ("xyz", ""),
        ],
    )
    def test_what_it_does_not_know_is_named(self, keyword: str, hint: str) -> None:
        """With the nearest name there is, and all of them."""
        with pytest.raises(SettingsError) as caught:
            read("a", **{keyword: "CANARY"})
        assert str(caught.value) == f'read has no argument "{keyword}"{hint}; it takes first, group_ref, provider'

    def test_a_constructor_is_called_by_its_class(self) -> None:
        """Its arguments are those that one can give."""
        with pytest.raises(SettingsError) as caught:
            Thing("a", groupref="CANARY")  # type: ignore[call-arg]
        assert str(caught.value) == (
            'Thing has no argument "groupref" (did you mean "group_ref"?); it takes name, group_ref'
        )

    def test_a_name_is_one_harmless_line(self) -> None:
        """Names can come from data, too."""
        with pytest.raises(SettingsError) as caught:
            read("a", **{"x\n\x1b[31m<{%": "y"})
        assert str(caught.value).startswith('read has no argument "x [31m< {%"; ')

    def test_in_a_program_it_ends_without_a_traceback(self) -> None:
        """Where the SDK is loaded, the error is one that it reports by its text alone."""
        keyword = "xyz"
        with pytest.raises(pulumi.RunError):
            read("a", **{keyword: "b"})

    def test_what_is_missing_is_pythons_error(self) -> None:
        """It names the argument by itself."""
        with pytest.raises(TypeError, match="first"):
            read()  # type: ignore[call-arg]


class TestIsPlain:
    """Whether a value can be judged yet."""

    @pytest.mark.parametrize(
        "value", [None, "text", 5, 5.0, True, [], (), {}, ["a", ["b", ("c",)]], {"a": [1]}, b"x", print], ids=ascii
    )
    def test_values(self, value: Any) -> None:
        """What is neither an output nor awaited nor unknown."""
        assert is_plain(value)

    def test_what_is_not_known_yet(self) -> None:
        """Outputs, futures, coroutines and the unknowns of a preview, in lists, too."""

        async def coroutine() -> str:
            return "x"

        async def main() -> None:
            waiting = coroutine()
            future = asyncio.get_running_loop().create_future()
            output = pulumi.Output.from_input("x")
            unknown = pulumi.output.Unknown()  # type: ignore[no-untyped-call]
            for value in (waiting, future, output, unknown):
                assert not is_plain(value)
                assert not is_plain([value])
                assert not is_plain(["a", ("b", [value])])
            waiting.close()
            future.cancel()
            await output.future()

        asyncio.run(main())


class TestNearest:
    """Hints for misspelt names."""

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("grouRef", ' (did you mean "groupRef"?)'),
            ("GROUPREF", ' (did you mean "groupRef"?)'),
            ("consumer", ' (did you mean "consumerRef"?)'),
            ("providr", ' (did you mean "Provider"?)'),
            ("zzz", ""),
            ("", ""),
        ],
    )
    def test_the_nearest_one_is_told(self, name: str, hint: str) -> None:
        """In its own letter case, whatever the case of what was written; nothing where a hint would mislead."""
        assert nearest(name, ["groupRef", "consumerRef", "Provider"]) == hint

    def test_likeness(self) -> None:
        """How near a name must be can be chosen."""
        assert nearest("replicas", ["apiKey"], 0.75) == ""
        assert nearest("apikeys", ["apiKey"], 0.75) == ' (did you mean "apiKey"?)'
        assert nearest("apiKey", ["apiKey"], 1.0) == ' (did you mean "apiKey"?)'

    def test_nothing_valid_is_nothing_near(self) -> None:
        """Neither names nor none of them are an error; any iterable will do."""
        assert nearest("x", ()) == ""
        assert nearest("abc", iter(["abcd"])) == ' (did you mean "abcd"?)'
