"""The shape of the package, read from its source: who imports whom, and what is nowhere called.

Every check takes the package's directory and returns what is wrong, one line each; nothing is
imported or run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

VALUES = frozenset({"errors", "names", "identity", "target", "model", "openssl", "interfaces"})
ALONE = frozenset({"errors", "interfaces"})
"""Values that import nothing of ours when they run."""
ROOMS = {
    "config": VALUES,
    "trust": VALUES,
    "policy": VALUES,
    "session": VALUES,
    "pki": VALUES,
    "ops": VALUES,
    "workers": VALUES | {"ops"},
    "tls": VALUES | {"trust", "ops"},
    "http": VALUES | {"policy", "session", "ops"},
}
"""What each room may import, besides itself."""
WIRING = frozenset(
    {
        "assembly",
        "serving",
        "service",
        "tap",
        "cli",
        "pki_cli",
        "check",
        "explain",
        "replay",
        "demo",
        "__main__",
    }
)
MAY_PRINT = frozenset({"cli", "pki_cli", "check", "explain", "replay", "demo"})
NO_SYSTEM_TRUST = frozenset({"trust", "tls"})
SYSTEM_TRUST = frozenset(
    {
        "set_default_verify_paths",
        "load_default_certs",
        "create_default_context",
        "platformTrust",
        "SSL_CTX_set_default_verify_paths",
        "X509_STORE_set_default_paths",
    }
)
MOST_LINES = 400


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name, the room it is in, its text and its tree."""

    name: str
    room: str
    text: str
    tree: ast.Module


def modules(package: Path) -> Iterator[Module]:
    """Every module of a package directory."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        text = path.read_text()
        room = parts[0] if parts else ""
        yield Module(".".join((package.name, *parts)), room, text, ast.parse(text))


def uphill(package: Path) -> list[str]:
    """Imports that the table does not allow."""
    return [
        f"{module.name} imports {imported}"
        for module in modules(package)
        for imported in sorted(_imports(module, package, run_time=module.room in ALONE))
        if not _allowed(module.room, imported, package.name)
    ]


def homeless(package: Path) -> list[str]:
    """Modules that the table has no place for."""
    known = {"", *VALUES, *ROOMS, *WIRING}
    return [module.name for module in modules(package) if module.room not in known]


def cycles(package: Path) -> list[str]:
    """Modules that import each other when they run, by whatever way round."""
    found = list(modules(package))
    names = {module.name for module in found}
    graph = {
        module.name: _imports(module, package, run_time=True) & (names - {module.name})
        for module in found
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def reactors(package: Path) -> list[str]:
    """Imports of the global reactor that run when the module is imported."""
    return [
        f"{module.name} line {node.lineno}"
        for module in modules(package)
        for node in _at_import(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and _is_reactor(node)
    ]


def too_long(package: Path) -> list[str]:
    """Files that nobody can keep in mind."""
    counted = ((module.name, len(module.text.splitlines())) for module in modules(package))
    return [f"{name}: {lines} lines" for name, lines in counted if lines > MOST_LINES]


def system_trust(package: Path) -> list[str]:
    """Uses of the system's trust store where only a host's own CAs may count."""
    return [
        f"{module.name} line {node.lineno}: {name}"
        for module in modules(package)
        if module.room in NO_SYSTEM_TRUST
        for node, name in _names(module.tree)
        if name in SYSTEM_TRUST
    ]


def prints(package: Path) -> list[str]:
    """Calls of ``print`` in what runs as a service."""
    return [
        f"{module.name} line {node.lineno}"
        for module in modules(package)
        if module.room not in MAY_PRINT
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def _allowed(room: str, imported: str, package: str) -> bool:
    target = imported.removeprefix(package).lstrip(".").split(".")[0]
    if room in WIRING:
        return True
    if target in ("", room):  # the package itself holds nothing but its version
        return True
    if room in ALONE or not room:
        return False
    return target in ROOMS.get(room, VALUES)


def _imports(module: Module, package: Path, *, run_time: bool) -> set[str]:
    """The modules of ours that a module imports, anywhere in it, by dotted name.

    With ``run_time``, what stands under ``if TYPE_CHECKING:`` is left out.
    """
    inside = _for_types_only(module.tree) if run_time else set()
    found: set[str] = set()
    for node in ast.walk(module.tree):
        if node in inside:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= set(_from(node, module, package))
    own = package.name
    return {name for name in found if name == own or name.startswith(own + ".")}


def _from(node: ast.ImportFrom, module: Module, package: Path) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        is_package = (package.parent / Path(*module.name.split("."))).is_dir()
        above = module.name.split(".")[: None if is_package and node.level == 1 else -node.level]
        base = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        path = package.parent / Path(*base.split("."), alias.name)
        is_module = path.is_dir() or path.with_suffix(".py").exists()
        yield f"{base}.{alias.name}" if is_module else base


def _for_types_only(tree: ast.Module) -> set[ast.AST]:
    """Everything under ``if TYPE_CHECKING:``."""
    blocks = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    )
    return {inner for block in blocks for each in block.body for inner in ast.walk(each)}


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _at_import(child)


def _is_reactor(node: ast.Import | ast.ImportFrom) -> bool:
    names = {alias.name for alias in node.names}
    if isinstance(node, ast.Import):
        return "twisted.internet.reactor" in names
    return node.module == "twisted.internet.reactor" or (
        node.module == "twisted.internet" and "reactor" in names
    )


def _names(tree: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node, node.attr
        elif isinstance(node, ast.Name):
            yield node, node.id
