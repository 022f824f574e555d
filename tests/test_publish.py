"""Publishing a pack to an organisation: what ``pulumi policy publish`` sends, to a small fake of Pulumi's service.

The calls and their order are those of the engine's ``backend/httpstate/client/client.go``.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import venv
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from pulumi_ampersand import __version__
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand_policies.cli import main
from pulumi_ampersand_policies.rule import Rule
from pulumi_ampersand_policies.rules import RULES
from stack import PACK, Stack, clean_environment

ORGANISATION: Final = "acme"
PACKS: Final = f"/api/orgs/{ORGANISATION}/policypacks"
TOKEN: Final = "pul-made-up"


class Service:
    """Pulumi's service, as far as publishing needs it.

    Attributes:
        url: Its root.
        calls: The calls that publishing consists of, in order.
        metadata: What was said of the pack.
        archive: The pack itself, a compressed tar file.
        tokens: The access tokens that came.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.archive = b""
        self.tokens: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, call: str, body: bytes, authorization: str) -> tuple[int, Any]:
        """The status and the JSON to answer a call with."""
        if call == "GET /api/user":
            self.tokens.add(authorization)
            return 200, {"githubLogin": "jo", "organizations": [{"githubLogin": ORGANISATION}]}
        if not call.startswith(("POST /api/orgs/", "PUT /upload")):
            return 404, {"code": 404, "message": "Not Found"}
        self.calls.append(call)
        if call == f"POST {PACKS}":
            self.metadata = json.loads(body)
            return 200, {"version": 1, "uploadURI": f"{self.url}/upload"}
        if call == "PUT /upload":
            self.archive = body
        return 200, {}

    def files(self) -> dict[str, str]:
        """The files in the archive, without the folder that all lie in."""
        with tarfile.open(fileobj=io.BytesIO(self.archive)) as archive:
            members = [(member.name, archive.extractfile(member)) for member in archive.getmembers()]
            return {
                name.removeprefix("package/"): file.read().decode(errors="replace")
                for name, file in members
                if file is not None
            }


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_call(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            path = self.path.partition("?")[0]
            status, value = service.answer(f"{self.command} {path}", body, self.headers.get("Authorization", ""))
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = handle_call  # noqa: N815 - the base class looks for these names

        def log_message(self, *_arguments: Any) -> None:
            """Keep quiet."""

    return Handler


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that takes a pack."""
    running = Service()
    yield running
    running.close()


def publish(folder: Path, engine: Path, service: Service, home: Path) -> str:
    """Run ``pulumi policy publish`` in a pack's folder; what it says of it."""
    settings = {"PULUMI_HOME": str(home), "PULUMI_BACKEND_URL": service.url, "PULUMI_ACCESS_TOKEN": TOKEN}
    done = subprocess.run(
        ["pulumi", "--non-interactive", "policy", "publish", ORGANISATION],
        cwd=folder,
        env=clean_environment(engine) | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert service.tokens == {f"token {TOKEN}"}
    return done.stdout


def expected(rule: Rule[Any]) -> dict[str, Any]:
    """What an organisation is told of a rule, but for the schema of its options."""
    told: dict[str, Any] = {
        "name": rule.id,
        "displayName": rule.title,
        "description": rule.title,
        "message": "",
        "enforcementLevel": rule.enforcement.value,
        "severity": rule.severity.value,
        "tags": [*rule.tags, *(f"{control.framework.name} {control.reference}" for control in rule.controls)],
        "remediationSteps": rule.remediation.replace("{connection}", "<connection>"),
    }
    if rule.controls:
        framework, reference, _ = rule.controls[0]
        told["framework"] = {
            "name": framework.name,
            "version": framework.version,
            "specification": framework.specification,
            "reference": reference,
        }
    return told


def test_the_pack_pins_what_it_needs() -> None:
    """The organisation's machines install this version, in an environment that Pulumi makes."""
    assert (PACK / "requirements.txt").read_text() == f"pulumi-ampersand=={__version__}\n"
    assert YAML(typ="safe").load(PACK / "PulumiPolicy.yaml")["runtime"] == "python"


@pytest.mark.engine
def test_the_pack_is_published(tmp_path: Path, engine: Path, service: Service, sandbox: Sandbox) -> None:
    """An organisation gets all rules with all their metadata, and an archive that is a pack and holds nothing else."""
    said = publish(PACK, engine, service, tmp_path / "home")
    assert f'Publishing "ampersand" - version {__version__} to "{ORGANISATION}"' in said
    assert service.calls == [
        f"POST {PACKS}",
        "PUT /upload",
        f"POST {PACKS}/ampersand/versions/{__version__}/complete",
    ]

    told = {key: value for key, value in service.metadata.items() if key not in {"policies", "metadata"}}
    assert told == {
        "name": "ampersand",
        "displayName": "Ampersand connections",
        "description": "Gates deployments on the health of Ampersand connections",
        "versionTag": __version__,
        "runtime": "python",
    }
    policies = {policy["name"]: policy for policy in service.metadata["policies"]}
    schemas = {name: policy.pop("configSchema") for name, policy in policies.items()}
    assert policies == {rule.id: expected(rule) for rule in RULES}
    assert len(service.metadata["policies"]) == 19
    for rule in RULES:
        assert schemas[rule.id]["type"] == "object"
        level = schemas[rule.id]["properties"].pop("enforcementLevel")
        assert set(level["enum"]) >= {"advisory", "mandatory", "disabled"}
        assert schemas[rule.id]["properties"].keys() == rule.schema["properties"].keys()
        assert all(option["description"] for option in schemas[rule.id]["properties"].values())
    assert schemas["token-expiry"]["properties"]["minDays"] == {
        "type": "number",
        "description": "The fewest days that a credential must still work.",
    }

    files = service.files()
    there = {path.relative_to(PACK).as_posix() for path in PACK.rglob("*") if path.is_file()}
    assert files.keys() == {name for name in there if "__pycache__" not in name}
    assert {"PulumiPolicy.yaml", "__main__.py", "requirements.txt"} <= files.keys()
    assert files["requirements.txt"] == f"pulumi-ampersand=={__version__}\n"
    for rule in RULES:
        assert f"pulumi_ampersand_policies/rules/{rule.id.replace('-', '_')}.py" in files
        assert f"pulumi_ampersand_policies/docs/{rule.id}.md" in files

    # Under a name of its own it is seen that what runs is what was in the archive.
    installed = tmp_path / "installed"
    for name, text in files.items():
        (installed / name).parent.mkdir(parents=True, exist_ok=True)
        (installed / name).write_text(text, encoding="utf-8")
    pack = installed / "pulumi_ampersand_policies" / "pack.py"
    pack.write_text(pack.read_text().replace('NAME: Final = "ampersand"', 'NAME: Final = "published"'))
    stack = Stack(tmp_path / "stack", engine, "", sandbox.environment)
    stack.configure("ampersand:gate", "true")
    preview = stack.preview("--policy-pack", str(installed))
    assert preview.code != 0
    assert f"published@v{__version__}" in preview.out
    assert "no-bad-credentials" in {violation.rule for violation in preview.violations}


@pytest.mark.engine
def test_an_initialised_pack_is_published(tmp_path: Path, engine: Path, service: Service) -> None:
    """Under its own name, with its own rule, from its own environment; what lies beside it stays at home."""
    folder = tmp_path / "pack"
    done = CliRunner().invoke(main, ["pack", "init", str(folder), "--virtualenv", "venv"])
    assert done.exit_code == 0, done.output
    written = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    written["__main__.py"] = written["__main__.py"].replace("OWN_RULES])", 'OWN_RULES], name="ours", version="1.2.3")')
    (folder / "__main__.py").write_text(written["__main__.py"])
    _make_environment(folder / "venv")
    # What its author's tests leave behind.
    subprocess.run([sys.executable, "-m", "pytest", "-q", str(folder)], cwd=folder, check=True, capture_output=True)

    publish(folder, engine, service, tmp_path / "home")
    assert service.calls[-1] == f"POST {PACKS}/ours/versions/1.2.3/complete"
    policies = {policy["name"]: policy for policy in service.metadata["policies"]}
    assert policies.keys() == {*(rule.id for rule in RULES), "named-customers"}
    assert policies["named-customers"]["remediationSteps"] == "Name the group of connection <connection> in Ampersand"
    assert policies["named-customers"]["enforcementLevel"] == "advisory"
    files = service.files()
    assert {name: files.get(name) for name in written} == written
    assert sorted({name.partition("/")[0] for name in files}) == sorted(written)


def _make_environment(folder: Path) -> None:
    """A virtual environment that sees the packages of these tests."""
    venv.create(folder, symlinks=os.name != "nt")
    (packages,) = folder.glob("[Ll]ib/**/site-packages")
    seen = [path for path in sys.path if path.endswith("-packages")]
    (packages / "tests.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in seen))
