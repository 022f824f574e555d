"""Both packages as a whole: what they export, what importing them costs, and that they are documented."""

import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from types import ModuleType
from typing import get_origin

import pytest

import pulumi_ampersand
import pulumi_ampersand_policies
from pulumi_ampersand import errors, functions
from pulumi_ampersand.sandbox import Sandbox

HEAVY = {
    "httpx",
    "httpcore",
    "jsonschema",
    "msgspec",
    "pulumi",
    "pulumi_policy",
    "pydantic",
    "tenacity",
    "yaml",
    "grpc",
}
DATA = {"httpx", "httpcore", "jsonschema", "pulumi", "pulumi_policy", "pydantic", "tenacity", "grpc"}
HTTP = {"httpx", "httpcore", "tenacity"}
WITHOUT: dict[str, set[str]] = {
    "pulumi_ampersand": HEAVY,
    "pulumi_ampersand.terminal": HEAVY,
    "pulumi_ampersand.errors": HEAVY,
    "pulumi_ampersand.settings": HEAVY,
    "pulumi_ampersand.arguments": HEAVY,
    "pulumi_ampersand.secret": HEAVY,
    "pulumi_ampersand.program": HEAVY,
    "pulumi_ampersand.model": DATA,
    "pulumi_ampersand.details": DATA,
    "pulumi_ampersand.query": DATA,
    "pulumi_ampersand.expectation": DATA,
    "pulumi_ampersand.functions": DATA,
    "pulumi_ampersand.inventory": DATA,
    "pulumi_ampersand.problem": DATA - {"pydantic"},
    "pulumi_ampersand.network": HEAVY - {"httpx", "httpcore"},
    "pulumi_ampersand.exchange": HEAVY - {"httpx", "httpcore"},
    "pulumi_ampersand.client": DATA - {"httpx", "httpcore"},
    "pulumi_ampersand.reads": DATA - {"httpx", "httpcore"},
    "pulumi_ampersand.lazy": HEAVY - {"pulumi", "grpc", "yaml"},
    "pulumi_ampersand.provider": {
        "httpx",
        "httpcore",
        "jsonschema",
        "msgspec",
        "pydantic",
        "pulumi_policy",
        "tenacity",
    },
    "pulumi_ampersand.connections": {"httpx", "httpcore", "jsonschema", "pydantic", "pulumi_policy", "tenacity"},
}
"""What importing a module doesn't import: deleting a resource needs no HTTP, an audit no engine."""

ENGINE = {"pulumi", "pulumi_policy", "grpc", "yaml"}
POLICIES_WITHOUT: dict[str, set[str]] = {
    "pulumi_ampersand_policies": HEAVY,
    "pulumi_ampersand_policies.glob": HEAVY,
    "pulumi_ampersand_policies.compliance": HEAVY,
    "pulumi_ampersand_policies.profiles": HEAVY,
    "pulumi_ampersand_policies.schema": HEAVY,
    "pulumi_ampersand_policies.cli": HEAVY,
    "pulumi_ampersand_policies.pack_command": HEAVY,
    "pulumi_ampersand_policies.reauth_command": HEAVY,
    "pulumi_ampersand_policies.rules": HEAVY - {"msgspec", "pydantic"},
    "pulumi_ampersand_policies.gate": HEAVY - {"msgspec", "pydantic"},
    "pulumi_ampersand_policies.evaluation": HEAVY - {"msgspec", "pydantic"},
    "pulumi_ampersand_policies.configuration": HEAVY - {"msgspec", "pydantic"},
    "pulumi_ampersand_policies.configuration_schema": HEAVY - {"msgspec", "pydantic"},
    "pulumi_ampersand_policies.documentation": HEAVY - {"msgspec", "pydantic"},
    "pulumi_ampersand_policies.config_command": HEAVY - {"msgspec", "pydantic"},
    "pulumi_ampersand_policies.rules_command": HEAVY - {"msgspec", "pydantic"},
    "pulumi_ampersand_policies.pack": HEAVY - {"msgspec", "pydantic"} - ENGINE | {"pulumi_policy"},
}
"""The same of the policies: rules, evaluation and their commands know no engine, the pack no HTTP and no policy SDK."""

POLICIES = "pulumi_ampersand_policies"


def imported(statement: str, **environment: str) -> set[str]:
    """The top-level modules that a new interpreter has after a statement."""
    program = (
        f"import json, sys\n{statement}\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=dict(os.environ) | environment,
    )
    assert done.stderr == ""
    return set(json.loads(done.stdout))


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """All modules of a package, but for what its users start from."""
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".pack_template" not in found.name:
            yield importlib.import_module(found.name)


def public_functions() -> list[str]:
    """What the module of functions offers."""
    found = inspect.getmembers(functions, inspect.isfunction)
    return [name for name, item in found if name.startswith("get_") and item.__module__ == functions.__name__]


@pytest.mark.parametrize(("module", "without"), WITHOUT.items(), ids=WITHOUT)
def test_importing_a_module_imports_no_more_than_it_needs(module: str, without: set[str]) -> None:
    """Nobody pays for what they don't use, and the provider package never knows the policies."""
    found = imported(f"import {module}")
    assert not found & (without | {POLICIES})


@pytest.mark.parametrize(("module", "without"), POLICIES_WITHOUT.items(), ids=POLICIES_WITHOUT)
def test_importing_a_module_of_the_policies_imports_no_more_than_it_needs(module: str, without: set[str]) -> None:
    """Each preview starts a pack, each run of the audit a command."""
    assert not imported(f"import {module}") & without


def test_the_heavy_modules_are_really_told_apart() -> None:
    """The check above would pass if it found nothing."""
    found = imported("import pulumi_ampersand.provider, pulumi_ampersand.client, pulumi_ampersand.problem")
    assert {"httpx", "pulumi", "pydantic", "msgspec"} <= found


def test_using_the_model_through_the_package_is_cheap() -> None:
    """A name is imported when it is asked for, and no other with it."""
    assert not imported("from pulumi_ampersand import Connection, ApiError") & DATA
    assert not imported("from pulumi_ampersand import Settings, Details, Access") & HEAVY


def test_functions_in_a_script_need_no_sdk(sandbox: Sandbox) -> None:
    """A script that reads pays for HTTP, not for Pulumi; nor does one that catches an error."""
    program = (
        "import pulumi_ampersand as ampersand\n"
        "assert len(ampersand.get_connections(details='never')) == 12\n"
        "try:\n    ampersand.get_connection('gone')\n"
        "except ampersand.NotFoundError:\n    pass\n"
        "else:\n    raise AssertionError"
    )
    found = imported(program, **sandbox.environment)
    assert "httpx" in found
    assert not found & {"pulumi", "grpc", "pulumi_policy"}


def test_a_blocking_client_needs_no_event_loop() -> None:
    """Making one doesn't load asyncio."""
    used = "from pulumi_ampersand import Access, Client\nfrom pulumi_ampersand.settings import ApiKey\n"
    assert "asyncio" not in imported(f"{used}Client(Access(ApiKey('key'), 'http://x.test')).close()")


def test_all_is_what_is_exported() -> None:
    """Sorted, each name once, every name there, and nothing public beside it but modules."""
    names = pulumi_ampersand.__all__
    assert names == sorted(set(names))
    for name in names:
        assert getattr(pulumi_ampersand, name) is not None
    public = {name for name in dir(pulumi_ampersand) if not name.startswith("_")}
    others = public - set(names)
    assert {name for name in others if not inspect.ismodule(getattr(pulumi_ampersand, name))} <= {
        "annotations",
        "Any",
        "TYPE_CHECKING",
    }


def test_a_star_import_gives_all() -> None:
    """Names that come late come, too."""
    program = "from pulumi_ampersand import *\nassert set(__import__('pulumi_ampersand').__all__) <= set(globals())"
    assert "pulumi" in imported(program)


def test_every_error_is_exported() -> None:
    """What a program may catch can be had from the package."""
    defined = {name for name, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, Exception)}
    assert defined <= set(pulumi_ampersand.__all__)


def test_every_function_is_exported() -> None:
    """Each that reads has a form whose arguments may be outputs, but the one that only makes sense as an output."""
    assert len(public_functions()) == 7
    assert set(public_functions()) <= set(pulumi_ampersand.__all__)
    plain = {name for name in public_functions() if not name.endswith("_output")}
    assert {name for name in plain if f"{name}_output" not in public_functions()} == {"get_access_token"}


def test_what_is_exported_is_what_its_module_has() -> None:
    """Each name comes from where it is defined, and stays the same one."""
    for name in pulumi_ampersand.__all__:
        item = getattr(pulumi_ampersand, name)
        assert getattr(pulumi_ampersand, name) is item
        # Python 3.10 takes a generic alias for a class.
        if (inspect.isclass(item) and get_origin(item) is None) or inspect.isfunction(item):
            assert item.__module__.startswith("pulumi_ampersand.")
            assert getattr(importlib.import_module(item.__module__), name) is item


def test_an_unknown_name_is_an_attribute_error() -> None:
    """With the usual words."""
    with pytest.raises(AttributeError, match="module 'pulumi_ampersand' has no attribute 'Missing'"):
        pulumi_ampersand.Missing  # noqa: B018
    with pytest.raises(ImportError):
        exec("from pulumi_ampersand import Missing", {})


def test_the_version_is_the_distributions() -> None:
    """One number, in one place."""
    assert pulumi_ampersand.__version__ == version("pulumi-ampersand")


def test_types_and_schemas_are_shipped() -> None:
    """The marker for type checkers and the documents' schemas lie in the package."""
    package = files("pulumi_ampersand")
    assert (package / "py.typed").is_file()
    schemas = sorted(item.name for item in (package / "schemas").iterdir())
    assert schemas == ["connections-v1.schema.json", "observations-v1.schema.json", "package.json"]
    assert (files("pulumi_ampersand_policies") / "py.typed").is_file()


def undocumented(module: ModuleType) -> Iterator[str]:
    """The module's public names without a docstring, where they are defined."""
    if not module.__doc__:
        yield module.__name__
    for name, item in vars(module).items():
        if name.startswith("_") or getattr(item, "__module__", None) != module.__name__:
            continue
        if (inspect.isclass(item) or inspect.isfunction(item)) and not item.__doc__:
            yield f"{module.__name__}.{name}"
        # What a protocol asks for is described where it is.
        described = inspect.isclass(item) and not getattr(item, "_is_protocol", False)
        for attribute, member in list(vars(item).items()) if described else ():
            method = getattr(member, "__func__", member)
            if attribute.startswith("_") or not (inspect.isfunction(method) or isinstance(method, property)):
                continue
            inherited = any(hasattr(base, attribute) for base in item.__mro__[1:])
            if not (method.__doc__ or inherited):
                yield f"{module.__name__}.{name}.{attribute}"


@pytest.mark.parametrize("package", [pulumi_ampersand, pulumi_ampersand_policies], ids=lambda package: package.__name__)
def test_everything_public_has_a_docstring(package: ModuleType) -> None:
    """Modules, classes, functions, methods and properties; what overrides another may rely on its docstring."""
    found = list(modules(package))
    assert len(found) > 10
    assert [name for module in found for name in undocumented(module)] == []


def test_the_policies_export_policies_alone() -> None:
    """One name, which comes late; the policy SDK isn't imported without it."""
    assert pulumi_ampersand_policies.__all__ == ["policies"]
    assert "pulumi_policy" in imported("from pulumi_ampersand_policies import policies; policies()")
    with pytest.raises(AttributeError, match="module 'pulumi_ampersand_policies' has no attribute 'missing'"):
        pulumi_ampersand_policies.missing  # noqa: B018
