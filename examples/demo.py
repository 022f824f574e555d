"""Three previews with the real engine: one that passes, and two that are refused.

What ``make demo`` runs. Needs the folder of a ``pulumi`` as its argument; leaves nothing behind.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand_policies.rules import RULES

ROOT = Path(__file__).resolve().parent.parent
PREVIEW = ("preview", "--policy-pack", "policies", "--policy-pack-config", "policy-config.json")
REFUSALS = ("no-bad-credentials", "required-scopes", "token-expiry")
"""The mandatory rules that connections of the scenario ``mixed`` break."""
CASES = (
    ("healthy", "quickstart", "All connections keep the rules: the preview passes.", ()),
    ("mixed", "quickstart", "Some connections break rules: the preview is refused, and says which and why.", REFUSALS),
    ("mixed", "gate", "A stack without our data source, gated by its configuration: refused as well.", REFUSALS),
)


def main(engine: str) -> int:
    """Run the cases; 0 if each came out as said."""
    print("Previews with this repository's policy pack, each reading a sandbox on this computer. Nothing is deployed.")
    failed = 0
    for number, (scenario, example, promise, refusals) in enumerate(CASES, 1):
        print(f"\n=== {number} of {len(CASES)}: {promise}\n", flush=True)
        with tempfile.TemporaryDirectory(prefix="ampersand-demo-") as scratch, Sandbox(scenario) as sandbox:
            environment = _environment(engine, Path(scratch)) | sandbox.environment
            code, output = _preview(_copy(example, Path(scratch)), environment, gate=example == "gate")
        # A preview that failed for another reason wasn't refused: every rule has to be named.
        kept = all(f"[mandatory] [severity: {_severity(rule)}]  {rule}  " in output for rule in refusals)
        kept = kept and (code != 0) == bool(refusals)
        failed += not kept
        verdict = "refused" if code else "passed"
        print(f"=== exit code {code}: {verdict if kept else 'NOT AS SAID'}", flush=True)
    said = "all three came out as said" if not failed else f"{failed} of {len(CASES)} did not come out as said"
    print(f"\n=== {said}")
    if failed:
        return 1
    print("\nNext: examples/quickstart/README.md does the same by hand, first on this sandbox, then with your API key.")
    if Path(shutil.which("pulumi") or "").parent != Path(engine):
        print(f'To have the Pulumi that ran here on PATH: export PATH="{engine}:$PATH"')
    return 0


def _severity(rule: str) -> str:
    return next(known.severity.value for known in RULES if known.id == rule)


def _environment(engine: str, scratch: Path) -> dict[str, str]:
    """The user's environment, with a Pulumi that leaves the user's own stacks and settings alone."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "AMP_"))}
    state = scratch / "state"
    state.mkdir()
    return kept | {
        "PATH": os.pathsep.join((engine, str(Path(sys.executable).parent), kept.get("PATH", ""))),
        "PULUMI_HOME": str(scratch / "home"),
        "PULUMI_BACKEND_URL": state.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "demo",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }


def _copy(example: str, scratch: Path) -> Path:
    """The example and the pack in a folder of their own, where a stack's settings may be written."""
    folder = scratch / example
    # Without the settings of the user's own stacks, which have a passphrase of their own.
    shutil.copytree(ROOT / "examples" / example, folder, ignore=shutil.ignore_patterns("Pulumi.*.yaml"))
    shutil.copy(ROOT / "examples" / "quickstart" / "policy-config.json", folder)
    (folder / "policies").symlink_to(ROOT / "policies")
    return folder


def _preview(folder: Path, environment: Mapping[str, str], *, gate: bool) -> tuple[int, str]:
    """Preview the stack, showing what a user would type and see; returns the exit code and the output."""
    _pulumi(folder, environment, "stack", "init", "dev", quiet=True)
    if gate:
        _pulumi(folder, environment, "config", "set", "ampersand:gate", "true")
    return _pulumi(folder, environment, *PREVIEW)


def _pulumi(folder: Path, environment: Mapping[str, str], *arguments: str, quiet: bool = False) -> tuple[int, str]:
    if not quiet:
        print("$ pulumi", *arguments, flush=True)
    done = subprocess.run(
        ["pulumi", "--non-interactive", "--color", "never", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=300,
        check=False,
    )
    # The pack's path is this machine's; a reader knows it as "policies".
    output = re.sub(r"\(local: [^)]*\)", "(local: policies)", done.stdout)
    # Without a terminal, Pulumi repeats a resource's line for each finding.
    output = re.sub(r"^(.+\n)\1+", r"\1", output, flags=re.MULTILINE)
    if output.strip() and (not quiet or done.returncode):
        print(output.rstrip() + "\n", flush=True)
    return done.returncode, output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
