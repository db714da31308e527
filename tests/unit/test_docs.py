"""The documentation names what exists: files, functions, tests, settings, links; its generated tables are current."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from idp_adapters.demo import settings as demo_settings
from sidecar import config

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
ROOMS = ("sidecar", "idp_adapters", "widget", "policies", "tests", "benchmarks", "docs", "deploy", ".ci")
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
PLACE = re.compile(rf"(?P<path>(?:{'|'.join(map(re.escape, ROOMS))})/[\w./-]*)(?::(?P<name>[\w.]+))?")


def spoken(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def places() -> Iterator[tuple[str, str, str | None]]:
    for page in PAGES:
        for code in CODE.findall(spoken(page)):
            found = PLACE.fullmatch(code)
            if found and not found["path"].startswith(("widget/dist", "deploy/secrets")):
                yield page.name, found["path"], found["name"]


def names_of(path: Path) -> set[str]:
    """Every function, class, method and constant that a file defines; methods also as ``Class.method``."""
    if path.suffix != ".py":
        return set(re.findall(r"\w+", path.read_text()))
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            parts = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
            names |= {node.name, *(f"{node.name}.{item.name}" for item in parts)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


@pytest.mark.parametrize(("page", "path", "name"), sorted(set(places()), key=str))
def test_named_files_and_functions_exist(page: str, path: str, name: str | None) -> None:
    assert (ROOT / path).exists(), f"{page} names {path}"
    if name:
        assert name in names_of(ROOT / path), f"{page} names {name} in {path}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(spoken(page)) if not target.startswith(("http:", "https:", "mailto:"))]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_no_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(?:work|root|home)/", page.read_text())


def test_every_row_of_the_captures_page_names_a_test_that_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "captures.md").read_text()))
    known: set[str] = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        known |= names_of(file)
    assert len(named) > 20
    assert named <= known


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    models = [
        value
        for value in vars(config).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel
    ]
    wanted = {name for model in models for name in model.model_fields}
    for made in (demo_settings.DemoSettings, demo_settings.ClientSettings, demo_settings.SeedUser):
        wanted |= set(made.__dataclass_fields__)
    assert {name for name in wanted if f"`{name}`" not in text} == set()


def test_generated_tables_are_current() -> None:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    stale = [page.name for page in (ROOT / "docs").glob("*.md") if made.filled(page.read_text()) != page.read_text()]
    assert stale == [], "run make docs"
