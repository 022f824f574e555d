"""Writes the reference of the Python package into provider/README.md, that of the commands, and a page for each rule.

They come from signatures, docstrings and metadata. Run as a program it rewrites what stands between two marks of the
README, leaving the rest alone, and the rules' pages. It reads source text, because that
holds what running code has forgotten: the texts after attributes, and defaults as they were written.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import click

from pulumi_ampersand_policies import documentation
from pulumi_ampersand_policies.cli import main as main_command
from pulumi_ampersand_policies.compliance import Control
from pulumi_ampersand_policies.rules import RULES

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = ROOT / "provider" / "pulumi_ampersand"
README: Final = ROOT / "provider" / "README.md"
BEGIN: Final = "<!-- reference: written by tests/reference.py -->"
END: Final = "<!-- end of the reference -->"
MANUAL: Final = ROOT / "policies" / "README.md"
CONTROLS: Final = ("<!-- controls: written by tests/reference.py -->", "<!-- end of the controls -->")
AUDIT: Final = ROOT / "policies" / "AUDIT.md"
COMMANDS: Final = ("<!-- commands: written by tests/reference.py -->", "<!-- end of the commands -->")
COMMAND: Final = "python tests/reference.py"

_COLUMNS: Final = 100
"""The width of the commands' help."""

PARTS: Final = {
    "Data sources": ("Connections", "ConnectionRef", "Expect"),
    "Functions": (
        "get_connections",
        "get_connections_output",
        "get_connection",
        "get_connection_output",
        "get_projects",
        "get_projects_output",
        "get_access_token",
    ),
    "Settings": ("Settings", "Details", "Refresh"),
    "Values": ("Connection", "Group", "Consumer", "ProviderApp", "MetadataItem", "Project"),
    "Clients": (
        "Client",
        "AsyncClient",
        "Access",
        "ApiKey",
        "AccessToken",
        "Limits",
        "Found",
        "Observation",
        "Token",
        "__version__",
    ),
    "Errors": (
        "AmpersandError",
        "SettingsError",
        "TransportError",
        "DeadlineExceededError",
        "AnswerError",
        "ApiError",
        "AuthenticationError",
        "PermissionDeniedError",
        "NotFoundError",
        "RateLimitedError",
        "ServerError",
    ),
}
"""The order in which names are described; every exported one has to be among them."""

_SECTIONS: Final = ("Args", "Attributes", "Returns", "Raises")
_WIDTH: Final = 120
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Item:
    """An exported name, or a public member of an exported class.

    Attributes:
        name: Its name.
        signature: How it is called, or its type; may be empty.
        doc: Its docstring.
        members: A class's attributes, properties and methods.
        called: Whether it takes arguments, so that the signature is worth a block of its own.
        shared: Whether a class has it from one that isn't exported.
        bases: The classes that a class is made from.
    """

    name: str
    signature: str
    doc: str
    members: list[Item] = field(default_factory=list)
    called: bool = False
    shared: bool = False
    bases: list[str] = field(default_factory=list)


def items() -> list[Item]:
    """Everything that the package exports."""
    return [_described(name, module) for name, module in sorted(_exports().items())]


def rendered() -> str:
    """The reference as Markdown."""
    every = {item.name: item for item in items()}
    lines: list[str] = []
    for part, names in PARTS.items():
        lines += [f"## Reference: {part.lower()}", ""]
        for name in names:
            lines += _item(every[name])
    return "\n".join(lines).rstrip() + "\n"


def controls() -> str:
    """A row for each control of a compliance framework, with the rules that it asks for."""
    asked: dict[Control, list[str]] = {}
    for rule in RULES:
        for control in rule.controls:
            asked.setdefault(control, []).append(f"[{rule.id}](pulumi_ampersand_policies/docs/{rule.id}.md)")
    rows = [f"| {control}, {control.subject} | {', '.join(names)} |" for control, names in asked.items()]
    return "\n".join(["| control | rules |", "|---|---|", *sorted(rows)])


def between(text: str, begin: str, end: str, new: str) -> str:
    """The text with something else between two marks.

    Raises:
        ValueError: The marks aren't there.
    """
    before, found, rest = text.partition(begin)
    _, closing, after = rest.partition(end)
    if not found or not closing:
        raise ValueError(f"the marks {begin} and {end} are missing")
    return f"{before}{begin}{new}{end}{after}"


def updated(text: str) -> str:
    """A README with the reference as it has to be.

    Raises:
        ValueError: The marks aren't there.
    """
    return between(text, BEGIN, END, f"\n\n{rendered()}\n")


def pages() -> dict[str, str]:
    """The page of each rule by its file's name, and one that lists them."""
    rows = [
        f"| [{rule.id}]({rule.id}.md) | {rule.enforcement.value} | {rule.severity.value} | {rule.title} |"
        for rule in RULES
    ]
    table = ["| rule | by default | severity | what is true of connections that keep it |", "|---|---|---|---|", *rows]
    index = "\n".join(["# The rules", "", *table]) + "\n"
    return {f"{rule.id}.md": documentation.page(rule) for rule in RULES} | {"README.md": index}


def manual(text: str) -> str:
    """The pack's manual with its table of controls as it has to be."""
    return between(text, *CONTROLS, f"\n\n{controls()}\n\n")


def helps() -> Iterator[tuple[str, str]]:
    """Each command that does something, with what its ``--help`` prints."""
    yield from _helps(main_command, "pulumi-ampersand")


def _helps(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    # Click keeps the option --help under the names that the first caller had for it.
    command = copy(command)
    command._help_option = None
    settings = {"terminal_width": _COLUMNS, "max_content_width": _COLUMNS, **command.context_settings}
    context = click.Context(command, parent, name, **settings)
    if isinstance(command, click.Group):
        for part in command.list_commands(context):
            inner = command.get_command(context, part)
            assert inner is not None
            yield from _helps(inner, part, context)
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield context.command_path, command.get_help(context)


def audit_manual(text: str) -> str:
    """The audit's manual with what each command's ``--help`` prints."""
    parts = [f"### {name}\n\n```text\n{help_}\n```\n" for name, help_ in helps()]
    return between(text, *COMMANDS, "\n\n" + "\n".join(parts) + "\n")


def _exports() -> dict[str, str]:
    """The module of each exported name."""
    return _imports("__init__")


def _imports(module: str) -> dict[str, str]:
    """The module of each name that a module has from another of the package."""
    return {
        alias.name: node.module.rpartition(".")[2]
        for node in ast.walk(_parsed(module))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pulumi_ampersand.")
        for alias in node.names
    }


@lru_cache
def _parsed(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def _described(name: str, module: str) -> Item:
    body = _parsed(module).body
    for node, doc in _documented(body):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _class(node, module)
        if isinstance(node, _Function) and node.name == name:
            return Item(name, _call(name, node), doc, called=True)
        if _target(node) == name:
            if name.startswith("__"):
                # The version: its value changes with every release, and what it is says its module.
                return Item(name, "", ast.get_docstring(_parsed(module)) or "")
            value = node.value if isinstance(node, ast.Assign) else None
            return Item(name, f"{name} = {_text(value)}", doc, called=True)
    raise LookupError(f"{module}.py doesn't define {name}")


def _class(node: ast.ClassDef, module: str) -> Item:
    doc = ast.get_docstring(node) or ""
    members = list(_members(node, module))
    fields = _sections(doc).get("Attributes", {})
    signature = ""
    constructor = next((one for one in node.body if isinstance(one, _Function) and one.name == "__init__"), None)
    if constructor is not None and "Args" in _sections(doc):
        signature = _call(node.name, constructor)
    elif any("dataclass" in _text(decorator) for decorator in node.decorator_list):
        named = any("kw_only" in _text(decorator) for decorator in node.decorator_list)
        signature = _signature(node.name, (["*"] if named else []) + [_field(one) for one in _fields(node)])
    for one in _fields(node):
        name = _target(one)
        if name in fields:
            members.append(Item(name, _annotation(one), fields[name]))
    for name in fields:
        if all(member.name != name for member in members):
            members.append(Item(name, "", fields[name]))
    return Item(node.name, signature, doc, members, called=bool(signature), bases=[_text(b) for b in node.bases])


def _members(node: ast.ClassDef, module: str) -> Iterator[Item]:
    """What a class has, and what it has from classes that aren't exported."""
    own = {one.name: one for one in _parsed(module).body if isinstance(one, ast.ClassDef)}
    imported = _imports(module)
    for one, doc in _documented(node.body):
        name = one.name if isinstance(one, _Function) else _target(one)
        if not name or name.startswith("_"):
            continue
        if isinstance(one, _Function):
            decorators = [_text(decorator) for decorator in one.decorator_list]
            if "property" in decorators:
                yield Item(name, _text(one.returns) if one.returns else "", doc)
            else:
                yield Item(name, _call(name, one), doc, called=True)
        elif source := _wrapped(one):
            # A method made from another class's: `close = _method(Calls.aclose)`.
            kind, method = source
            found = next(item for item in _members(own[kind], module) if item.name == method)
            signature = found.signature.removeprefix("async ").replace(method, name, 1)
            yield Item(name, signature, found.doc, called=True)
        elif doc:
            yield Item(name, _annotation(one), doc)
    for base in node.bases:
        name = _text(base)
        where = module if name in own else imported.get(name)
        if where is None or name in _exports():
            continue
        (parent,) = (one for one in _parsed(where).body if isinstance(one, ast.ClassDef) and one.name == name)
        for member in _members(parent, where):
            yield replace(member, shared=member.signature.startswith("async "))


def _documented(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Each statement, and its docstring: its own, or the text that follows it."""
    for node, after in zip(body, [*body[1:], None], strict=True):
        doc = ""
        if isinstance(node, _Function | ast.ClassDef):
            doc = ast.get_docstring(node) or ""
        elif isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            doc = inspect.cleandoc(str(after.value.value))
        yield node, doc


def _target(node: ast.stmt) -> str:
    """The name that an assignment sets; empty where it is something else."""
    target = (
        node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
    )
    return target.id if isinstance(target, ast.Name) else ""


def _wrapped(node: ast.stmt) -> tuple[str, str] | None:
    value = node.value if isinstance(node, ast.Assign) else None
    if isinstance(value, ast.Call) and value.args and isinstance(value.args[0], ast.Attribute):
        return _text(value.args[0].value), value.args[0].attr
    return None


def _fields(node: ast.ClassDef) -> list[ast.AnnAssign]:
    return [one for one in node.body if isinstance(one, ast.AnnAssign)]


def _annotation(node: ast.stmt) -> str:
    """An attribute's type; what a descriptor gives where it is one."""
    text = _text(node.annotation) if isinstance(node, ast.AnnAssign) else ""
    return text.removeprefix("_Field[")[:-1] if text.startswith("_Field[") else text


def _text(node: ast.AST | None) -> str:
    """Source text, with the quotation marks that the project uses."""
    return ast.unparse(node).replace("'", '"') if node is not None else ""


def _field(node: ast.AnnAssign) -> str:
    default = node.value
    if isinstance(default, ast.Call):
        # dataclasses' field(default=…)
        default = next((keyword.value for keyword in default.keywords if keyword.arg == "default"), None)
    return f"{_target(node)}: {_annotation(node)}" + (f" = {_text(default)}" if default else "")


def _call(name: str, node: _Function) -> str:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(every) - len(arguments.defaults)) + list(arguments.defaults)
    shown = [_argument(one, default) for one, default in zip(every, defaults, strict=True)]
    if arguments.kwonlyargs:
        shown.append("*")
    shown += map(_argument, arguments.kwonlyargs, arguments.kw_defaults)
    result = f" -> {_text(node.returns)}" if node.returns and node.name != "__init__" else ""
    prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return prefix + _signature(name, [one for one in shown if one not in {"self", "cls"}], result)


def _argument(node: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {_text(node.annotation)}" if node.annotation else ""
    return f"{node.arg}{annotation}" + (f" = {_text(default)}" if default else "")


def _signature(name: str, arguments: list[str], result: str = "") -> str:
    line = f"{name}({', '.join(arguments)}){result}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {argument},\n" for argument in arguments) + f"){result}"


def _sections(doc: str) -> dict[str, dict[str, str]]:
    """The named sections of a Google-style docstring: each name in them, and what is said of it."""
    found: dict[str, dict[str, str]] = {}
    for title, text in re.findall(rf"^({'|'.join(_SECTIONS)}):\n((?:(?: +.*)?\n?)*?)(?=^\S|\Z)", doc, re.MULTILINE):
        block = textwrap.dedent(text).strip()
        if title == "Returns":
            found[title] = {"": _joined(block)}
        else:
            entries = re.findall(r"^(\S[^:]*): (.*(?:\n +.*)*)", block, re.MULTILINE)
            found[title] = {name: _joined(said) for name, said in entries}
    return found


def _prose(doc: str) -> list[str]:
    """A docstring before its sections, as Markdown."""
    text = re.split(rf"^(?:{'|'.join(_SECTIONS)}):$", doc, maxsplit=1, flags=re.MULTILINE)[0].strip()
    lines: list[str] = []
    for block in re.split(r"\n\n(?=\S)", text):
        before, mark, code = block.partition("::\n\n")
        if mark:
            # reStructuredText's literal block, which an example is.
            lines += [*_wrap(_markdown(before) + ":"), ""] if before else []
            lines += ["```python", *textwrap.dedent(code).splitlines(), "```", ""]
        else:
            lines += [*_wrap(_markdown(block)), ""]
    return lines


def _item(item: Item) -> Iterator[str]:
    yield f"### `{item.name}`"
    yield ""
    if item.called:
        yield from ("```python", *item.signature.splitlines(), "```", "")
    yield from _prose(item.doc)
    base = next((name for name in item.bases if name.endswith("Error")), "")
    if base:
        yield from (f"A kind of `{base}`.", "")
    yield from _told(item.doc)
    attributes = [member for member in item.members if not member.called]
    if attributes:
        yield from ("Attributes:", "")
        for member in attributes:
            of_type = f": `{member.signature}`" if member.signature else ""
            yield from _bullet(f"`{member.name}`{of_type}. {_joined(member.doc)}")
        yield ""
    if shared := [member.name for member in item.members if member.called and member.shared]:
        # Written out once, for the class that has them blocking.
        yield from (*_wrap(f"Methods, each to be awaited: {_named(shared)}; see `Client`."), "")
    for member in item.members:
        if member.called and not member.shared:
            yield from (f"#### `{item.name}.{member.name}`", "")
            yield from ("```python", *member.signature.splitlines(), "```", "")
            yield from _prose(member.doc)
            yield from _told(member.doc)


def _named(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _told(doc: str) -> Iterator[str]:
    """What a docstring says of arguments, results and errors."""
    sections = _sections(doc)
    for section, title in (("Args", "Arguments"), ("Returns", "Returns"), ("Raises", "Raises")):
        if section not in sections:
            continue
        if section == "Returns":
            yield from (*_wrap(f"Returns: {_markdown(sections[section][''])}"), "")
            continue
        yield from (f"{title}:", "")
        for name, said in sections[section].items():
            yield from _bullet(f"`{name}`: {said}")
        yield ""


def _bullet(text: str) -> list[str]:
    return textwrap.wrap(
        f"- {_markdown(text)}", _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(_joined(text), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _joined(text: str) -> str:
    return " ".join(text.split())


def _markdown(text: str) -> str:
    """Code as Markdown marks it."""
    return text.replace("``", "`")


def main() -> int:
    """Rewrite the reference."""
    text = README.read_text(encoding="utf-8")
    README.write_text(updated(text), encoding="utf-8")
    MANUAL.write_text(manual(MANUAL.read_text(encoding="utf-8")), encoding="utf-8")
    AUDIT.write_text(audit_manual(AUDIT.read_text(encoding="utf-8")), encoding="utf-8")
    for name, content in pages().items():
        (documentation.FOLDER / name).write_text(content, encoding="utf-8")
    import package_schema  # it reads what is described here

    package_schema.FILE.write_text(package_schema.text(), encoding="utf-8")
    page = package_schema.PAGE.read_text(encoding="utf-8")
    package_schema.PAGE.write_text(package_schema.page(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
