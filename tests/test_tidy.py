"""The repository keeps its own rules: each test here is one of them."""

from __future__ import annotations

import ast
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "keen_client"
#: What a reader of the project meets; caches and environments are not among it.
FOLDERS = (".ci", "bench", "docs", "examples", "keen_client", "tests")
TEXT_SUFFIXES = {"", ".cfg", ".css", ".html", ".js", ".json", ".md", ".py", ".sh", ".sql", ".toml", ".txt"}
LINES_MAX = 500
NAMELESS = {"common", "helper", "helpers", "misc", "util", "utils"}
#: The first folders of paths that mean something on one machine only.
PERSONAL_FOLDERS = ("home", "Users", "root", "work", "farm")


def _texts() -> Iterator[Path]:
    """Every text file of the project."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.suffix in {".md", ".toml"})
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts[1:])
            if path.is_file() and path.suffix in TEXT_SUFFIXES and not hidden:
                yield path


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = [path for path in _texts() if path.suffix == ".py"]
PAGES = sorted(path for path in _texts() if path.suffix == ".md")


def test_no_module_is_named_after_nothing() -> None:
    """A module exists because a noun does."""
    assert [_name(path) for path in SCRIPTS if path.stem.lower() in NAMELESS] == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_opens_with_its_purpose(path: Path) -> None:
    """Each module has a docstring, and annotations that cost nothing at import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{_name(path)} has no docstring"
    if len(tree.body) > 1:
        futures = [
            node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        ]
        assert any(alias.name == "annotations" for node in futures for alias in node.names)


def test_no_module_is_longer_than_a_noun() -> None:
    """Past 500 lines two nouns live in one room."""
    lengths = {_name(path): path.read_text(encoding="utf-8").count("\n") for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > LINES_MAX} == {}


def test_nothing_is_left_for_later() -> None:
    """What is not built is absent, not promised."""
    marks = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b|NotImplemented" r"Error")
    found = [
        f"{_name(path)}:{number}"
        for path in SCRIPTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if marks.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_page_has_one_title(path: Path) -> None:
    """A Markdown file is about one thing and says which in its first heading."""
    outside_code = re.sub(
        r"^(`{3,}|~{3,}).*?^\1", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    titles = re.findall(r"^# .+$", outside_code, flags=re.MULTILINE)
    assert len(titles) == 1
    assert outside_code.lstrip().startswith(titles[0])


def test_links_between_pages_lead_somewhere() -> None:
    """A relative link names a file that exists."""
    broken = [
        f"{_name(page)} -> {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:")
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_no_file_names_a_path_of_one_machine() -> None:
    """What works only where it was written does not work."""
    personal = re.compile(rf"(?<![\w.~$}}{{*>-])/(?:{'|'.join(PERSONAL_FOLDERS)})/\w")
    found = [
        f"{_name(path)}:{number}: {line.strip()}"
        for path in _texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if personal.search(line)
    ]
    assert found == []


def test_nothing_in_the_package_runs_what_it_reads() -> None:
    """No pickle, no YAML, no eval, no shell: what comes from a disk or a network stays data."""
    loaders = {"dill", "marshal", "pickle", "shelve", "yaml"}
    runners = {"eval", "exec", "compile", "__import__", "system", "popen", "getoutput", "getstatusoutput"}
    found: list[str] = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                bad = any(alias.name.split(".")[0] in loaders for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                bad = (node.module or "").split(".")[0] in loaders
            elif isinstance(node, ast.Call):
                shell = any(keyword.arg == "shell" for keyword in node.keywords)
                bad = shell or _called(node) in runners
            else:
                continue
            if bad:
                found.append(f"{_name(path)}:{node.lineno}")
    assert found == []


def test_no_connection_is_left_open_by_a_with_that_only_commits() -> None:
    """``with sqlite3.connect(...)`` ends the transaction and closes nothing: ``closing`` does.

    Left open, it warns whenever it happens to be collected, in whatever test runs by then.
    """
    found = [
        f"{_name(path)}:{node.lineno}"
        for path in SCRIPTS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.With)
        for item in node.items
        if ast.unparse(item.context_expr).startswith("sqlite3.connect(")
    ]
    assert found == []


def _called(call: ast.Call) -> str:
    """``eval`` of ``eval(...)``, ``os.system`` as ``system``; empty for other methods, such as ``re.compile``."""
    match call.func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="os" | "subprocess" | "builtins"), attr=name):
            return name
    return ""


def test_ci_script_can_be_run() -> None:
    """The developer's check and CI's are the same file."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")


def test_changelog_begins_with_the_version_being_built() -> None:
    """Who installs a wheel finds its version at the head of the changelog."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[([^\]]+)\]", changelog, flags=re.MULTILINE)
    assert versions[0] == metadata["project"]["version"]


def test_every_package_is_given_a_floor_in_the_guide() -> None:
    """The contributor's table of floors names each top-level package."""
    guide = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {name for name in packages if f"`{name}`" not in guide} == set()


def test_the_pinned_javascript_says_what_and_not_from_where() -> None:
    """Keen's JavaScript clients are pinned by version and digest; no address of a registry is written down."""
    lock = json.loads((ROOT / "tests" / "peers" / "package-lock.json").read_text(encoding="utf-8"))
    pinned = {name: package for name, package in lock["packages"].items() if name}
    assert {"node_modules/keen-tracking", "node_modules/keen-analysis"} <= pinned.keys()
    assert [name for name, package in pinned.items() if "resolved" in package] == []
    assert [name for name, package in pinned.items() if not package.get("integrity")] == []
