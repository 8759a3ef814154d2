"""Rules of the project that no linter knows."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from baremetal_lb.reasons import Reason

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "baremetal_lb").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

LONGEST_FILE, LONGEST_FUNCTION = 400, 60
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
SHELLS = {"certificates", "cli", "controller", "health", "kube", "lab", "logs", "metrics", "speaker"}
"""What may do I/O, or makes keys; everything else is the core, which the import contract keeps pure."""

NOT_OURS = {".git", ".lab-failures", ".venv", "dist", "__pycache__"}
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("proxy", "golang", "org"),
        ("deb", "debian", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "k8s", "io"),
    )
]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def syntax_nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in syntax_nodes(path):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_no_file_is_too_long() -> None:
    assert [relative(path) for path in SOURCES if len(path.read_text().splitlines()) > LONGEST_FILE] == []


def test_no_function_is_too_long() -> None:
    too_long = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in syntax_nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert too_long == []


def test_names_say_what_a_file_is_for() -> None:
    assert [relative(path) for path in SOURCES if NAMES_THAT_SAY_NOTHING & {path.stem, path.parent.name}] == []


def test_the_pure_core_is_everything_but_the_shells() -> None:
    modules = {path.relative_to(ROOT / "baremetal_lb").parts[0].removesuffix(".py") for path in SOURCES}
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (pure,) = (contract for contract in contracts if contract["name"].startswith("The core"))
    assert {name.removeprefix("baremetal_lb.") for name in pure["source_modules"]} == modules - SHELLS - {"__init__"}


def test_the_core_takes_the_time_as_an_argument() -> None:
    """`datetime` is a type in the core, never a clock (the import contract forbids the other clocks)."""
    clocks = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
    in_core = [path for path in SOURCES if path.relative_to(ROOT / "baremetal_lb").parts[0] not in SHELLS]
    pure = [path for path in in_core if path.parent.name != "io"]
    assert [relative(path) for path in pure if any(name in clocks for name, _ in calls(path))] == []


def test_tests_do_not_sleep() -> None:
    """Only the lab has real time; `asyncio.sleep(0)` merely lets another task run, and virtual time costs none."""
    asleep = [
        f"{relative(path)}:{call.lineno}"
        for path in TESTS
        if path.relative_to(ROOT / "tests").parts[0] != "lab"
        for name, call in calls(path)
        if name == "time.sleep"
        or (name == "asyncio.sleep" and ast.unparse(call.args[0]) != "0" and not is_in_virtual_time(path))
    ]
    assert asleep == []


def is_in_virtual_time(path: Path) -> bool:
    conftest = path.parent / "conftest.py"
    return conftest.exists() and "pytest_asyncio_loop_factories" in conftest.read_text()


def test_no_registry_and_no_machine_is_named() -> None:
    """A checkout works anywhere: nothing points to a package registry's host or into a home directory."""
    forbidden = re.compile(
        "|".join([*map(re.escape, REGISTRIES), r"--(extra-)?index-url", re.escape(str(ROOT)), "/root/"])
    )
    named = [
        f"{relative(path)}:{number}"
        for path in ROOT.rglob("*")
        if path.is_file() and path != Path(__file__) and not is_foreign(path)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if forbidden.search(line)
    ]
    assert named == []


def is_foreign(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return bool(NOT_OURS & set(parts)) or parts[0].endswith("_cache") or parts[0] == ".hypothesis"


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        pytest.param("requirements.txt", PROJECT["project"]["dependencies"], id="to run"),
        pytest.param("requirements-dev.txt", PROJECT["dependency-groups"]["dev"], id="to develop"),
        pytest.param("requirements-dev.txt", PROJECT["project"]["dependencies"], id="to run the tests"),
    ],
)
def test_pinned_versions_are_what_the_project_asks_for(file: str, wanted: list[str]) -> None:
    """`make requirements` mends this."""
    pinned = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / file).read_text(), flags=re.MULTILINE))
    for requirement in map(Requirement, wanted):
        assert pinned.get(requirement.name, "0") in requirement.specifier, requirement


def test_every_package_that_is_imported_is_asked_for() -> None:
    """What merely happens to be installed here is missing elsewhere."""
    asked_for = {Requirement(text).name for text in PROJECT["project"]["dependencies"]}
    distributions = packages_distributions()
    imported = (
        {name for path in SOURCES for name in top_level_imports(path)} - sys.stdlib_module_names - {"baremetal_lb"}
    )
    assert {
        name for name in imported if not asked_for & set(map(canonicalize_name, distributions.get(name, ())))
    } == set()


def top_level_imports(path: Path) -> Iterator[str]:
    for node in syntax_nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_decisions_are_numbered_without_gaps() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [path.name[:5] for path in decisions] == [f"{number:04}-" for number in range(1, len(decisions) + 1)]
    for path in decisions:
        assert re.match(rf"# {path.name[:4]}\. \S", path.read_text()), relative(path)


def test_documents_name_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for document in DOCUMENTS:
        code = "\n".join(
            chain.from_iterable(re.findall(r"`([^`\n]+)`|```\w*\n(.*?)```", document.read_text(), re.DOTALL))
        )
        assert set(re.findall(r"\bmake ([a-z-]+)", code)) <= targets, relative(document)


def test_documents_link_and_name_files_that_exist() -> None:
    missing = []
    for document in DOCUMENTS:
        text = document.read_text()
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
        missing += [f"{relative(document)}: {link}" for link in links if not (document.parent / link).exists()]
        names = re.findall(r"`((?:baremetal_lb|bench|crds|docs|manifests|tests|\.ci)/[\w./-]*)`", text)
        missing += [f"{relative(document)}: {name}" for name in names if not (ROOT / name).exists()]
    assert missing == []


def test_every_reason_is_explained_to_users() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/howto/troubleshooting.md").read_text(), flags=re.MULTILINE)
    assert set(explained) == set(Reason)


def test_every_reason_is_used() -> None:
    """A word that no decision gives is one that users wait for in vain."""
    code = "\n".join(path.read_text() for path in SOURCES if path.name != "reasons.py")
    assert [reason.name for reason in Reason if f"Reason.{reason.name}" not in code] == []
