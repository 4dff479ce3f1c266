"""The map of docs/architecture.md, held against the code's own imports."""

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gtzan_jax"

# In the order in which data flows: a room may import from itself and from those before it.
ROOMS = (
    "base", "tables", "sound", "space", "models", "trainer", "backends", "inference", "rundir",
    "analysis", "assignment", "views", "jobs", "commands",
)  # fmt: skip
BASE = (
    "checks",
    "console",
    "errors",
    "files",
    "metrics",
    "process",
    "resources",
    "text",
    "workers",
)
JAX_ROOMS = ("models", "trainer", "inference")

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def room_of(module):
    """Returns the room of a dotted name within the package."""
    first = module.split(".")[0]
    if first in ROOMS:
        return first
    return "base" if first in BASE else "commands"


@functools.cache
def imported_by(path, for_types):
    """Returns all modules that a file imports, wherever in it, for types only, too, or not."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), []
    typing_only = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and "TYPE_CHECKING" in ast.unparse(test.test)
        for node in ast.walk(test)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only and not for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


def imports(path, package, for_types=False):
    """Returns the modules of a package that a file imports."""
    return [n for n in imported_by(path, for_types) if n == package or n.startswith(f"{package}.")]


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def test_imports_point_only_upwards():
    downwards = [
        f"{module_name(path)} imports {imported}"
        for path in MODULES
        for imported in imports(path, "gtzan_jax", for_types=True)
        if (inner := imported.removeprefix("gtzan_jax").lstrip("."))
        and ROOMS.index(room_of(inner)) > ROOMS.index(room_of(module_name(path)))
    ]
    assert downwards == []


def test_only_models_and_trainer_import_jax():
    others = [path for path in MODULES if room_of(module_name(path)) not in JAX_ROOMS]
    found = [(module_name(p), i) for p in others for n in ("jax", "flax", "optax")
             for i in imports(p, n)]  # fmt: skip
    assert found == []


def test_what_reads_sound_is_imported_by_name_where_it_is_needed():
    found = [(module_name(p), i) for p in MODULES for n in ("librosa", "soundfile")
             for i in imports(p, n)]  # fmt: skip
    assert found == []


def test_nothing_imports_the_assignment_but_the_reports_assembly():
    guests = {
        module_name(path)
        for path in MODULES
        for imported in imports(path, "gtzan_jax.assignment")
        if room_of(module_name(path)) != "assignment" and imported
    }
    assert guests <= {"views.sections.claims"}


def test_there_are_no_import_circles():
    graph = {module_name(path): set(imports(path, "gtzan_jax")) for path in MODULES}
    known = {f"gtzan_jax.{name}": name for name in graph}
    edges = {name: {known[i] for i in found if i in known} for name, found in graph.items()}

    def visit(name, trail):
        assert name not in trail, " -> ".join([*trail, name])
        for other in edges[name] - {name}:
            if other not in seen:
                visit(other, [*trail, name])
        seen.add(name)

    seen: set[str] = set()
    for name in edges:
        visit(name, [])


def test_no_module_is_too_long_to_be_read():
    lines = {str(p): p.read_text(encoding="utf-8").count("\n") for p in MODULES}
    assert not {path: count for path, count in lines.items() if count > 400}


def test_every_room_is_on_the_map():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^|]+)` \|", text, flags=re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"[\w/]+", row)}
    for folder in PACKAGE.iterdir():
        if folder.is_dir() and (folder / "__init__.py").exists():
            assert f"{folder.name}/" in listed
            for module in folder.rglob("[a-z]*.py"):
                assert f"`{module.stem}`" in text, f"{module} is not on the map"
