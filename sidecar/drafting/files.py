"""Policy files on disk with what stands beside them: tests, signatures, schemas."""

import json
import re
from pathlib import Path

from sidecar.errors import BadRequest
from sidecar.policy.language import read_bytes
from sidecar.policy.schema import cases_schema, policy_schema
from sidecar.policy.testing import Suite, parse_cases
from sidecar.shipped import policy_directory

SHIPPED = {"balanced": "default", "observe-only": "observe-only", "strict": "strict"}
POLICY_SCHEMA = "gaitkeeper-policy.schema.json"
_SINCE = re.compile(r"^(    since: )\S+$", re.MULTILINE)
TEST_SCHEMA = "gaitkeeper-policy-test.schema.json"


def tests_beside(policy: Path) -> list[Path]:
    """Return the test files of a policy: ``mine.test.yaml`` and ``mine.*.test.yaml`` beside ``mine.yaml``."""
    found = [policy.with_name(f"{policy.stem}.test.yaml"), *policy.parent.glob(f"{policy.stem}.*.test.yaml")]
    return sorted(path for path in set(found) if path.is_file())


def suites_beside(policy: Path) -> tuple[Suite, ...]:
    """Read the test files of a policy. Raises PolicyInvalid."""
    return tuple(parse_cases(read_bytes(path), str(path)) for path in tests_beside(policy))


def start(policy: Path, *, shipped: str, force: bool, today: str) -> tuple[Path, ...]:
    """Write a policy to start from, its tests, and the schemas an editor reads. Raises BadRequest where one exists.

    ``shipped``: the shipped policy to copy, a key of ``SHIPPED``. ``today``: the date from which rules in shadow count,
    as in 2026-11-21. Both modelines are written: VS Code and neovim read the
    first, JetBrains the second.
    """
    if shipped not in SHIPPED:
        raise BadRequest(f"there is no shipped policy {shipped!r}; there are {', '.join(SHIPPED)}")
    if policy.suffix != ".yaml" or policy.name.endswith(".test.yaml"):
        raise BadRequest(f"{policy} is no name for a policy; it ends in .yaml and not in .test.yaml")
    source = policy_directory() / f"{SHIPPED[shipped]}.yaml"
    tests = policy.with_name(f"{policy.stem}.test.yaml")
    texts = {
        policy: _with_modelines(_SINCE.sub(rf"\g<1>{today}", source.read_text()), POLICY_SCHEMA),
        tests: _with_modelines(source.with_name(f"{source.stem}.test.yaml").read_text(), TEST_SCHEMA),
        policy.with_name(POLICY_SCHEMA): json.dumps(policy_schema(), indent=1) + "\n",
        policy.with_name(TEST_SCHEMA): json.dumps(cases_schema(), indent=1) + "\n",
    }
    # The schemas are made from this version of the product; writing them anew loses nobody's work.
    if not force and (existing := [path for path in (policy, tests) if path.exists()]):
        raise BadRequest(f"{existing[0]} exists; name another file, or write over it with --force")
    policy.parent.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text)
    return tuple(texts)


def _with_modelines(text: str, schema: str) -> str:
    return f"# yaml-language-server: $schema={schema}\n# $schema: {schema}\n{text}"
