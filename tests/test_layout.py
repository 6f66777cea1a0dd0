"""Data flows one way and so do imports; what a rule forbids is nowhere in the source.

Each rule is held against the package, and then against a small tree that breaks it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mtlsedge
from support import layout

PACKAGE = Path(mtlsedge.__file__).parent

RULES = [
    layout.uphill,
    layout.homeless,
    layout.cycles,
    layout.reactors,
    layout.too_long,
    layout.system_trust,
    layout.prints,
]

BROKEN = [
    (layout.uphill, "names.py", "from mtlsedge.config import loader"),
    (layout.uphill, "errors.py", "import mtlsedge.names"),
    (layout.uphill, "interfaces.py", "from mtlsedge.identity import Verdict"),
    (layout.uphill, "config/loader.py", "from mtlsedge.trust import store"),
    (layout.uphill, "policy/tree.py", "from mtlsedge import session"),
    (layout.uphill, "policy/tree.py", "from ..session import cookie"),
    (layout.uphill, "tls/port.py", "def late():\n    from mtlsedge.http import pool"),
    (layout.uphill, "http/pool.py", "import mtlsedge.trust.store"),
    (layout.uphill, "http/pool.py", "from mtlsedge.service import EdgeService"),
    (layout.uphill, "__init__.py", "from mtlsedge.names import covers"),
    (layout.homeless, "utils.py", ""),
    (layout.homeless, "helpers/__init__.py", ""),
    (layout.cycles, "trust/a.py", "from mtlsedge.trust import b"),
    (layout.reactors, "tls/port.py", "from twisted.internet import defer, reactor"),
    (layout.reactors, "tap.py", "import twisted.internet.reactor"),
    (layout.reactors, "tap.py", "class A:\n    from twisted.internet.reactor import callLater"),
    (layout.too_long, "model.py", "\n" * 401),
    (layout.system_trust, "trust/store.py", "store.set_default_verify_paths()"),
    (layout.system_trust, "tls/contexts.py", "from ssl import *\nload_default_certs()"),
    (layout.prints, "http/pool.py", "def f():\n    print('debug')"),
]

ALLOWED = [
    ("names.py", "from mtlsedge.errors import BadHostName"),
    ("interfaces.py", "if TYPE_CHECKING:\n    from mtlsedge.identity import PeerChain"),
    ("trust/store.py", "from mtlsedge.interfaces import IVerifier\nfrom mtlsedge import openssl"),
    ("trust/store.py", "from .chain import build"),
    ("tls/port.py", "from mtlsedge.trust.store import TrustStore"),
    ("http/pool.py", "from mtlsedge.policy import tree\nfrom mtlsedge.ops import limits"),
    ("tap.py", "from mtlsedge import config, tls, http\nprinter = None"),
    ("service.py", "def start():\n    from twisted.internet import reactor"),
    ("http/pool.py", "from twisted.internet import defer"),
    ("cli.py", "print('hello')"),
    ("demo/__main__.py", "print('hello')"),
    ("http/origin.py", "store.set_default_verify_paths()"),
    ("model.py", "\n" * 400),
    ("__init__.py", "__version__ = '1'"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Callable[[Path], list[str]]) -> None:
    """Nothing in mtlsedge breaks this rule."""
    assert [] == rule(PACKAGE)


@pytest.mark.parametrize(("rule", "path", "source"), BROKEN)
def test_a_tree_that_breaks_a_rule_is_caught(
    tmp_path: Path, rule: Callable[[Path], list[str]], path: str, source: str
) -> None:
    """Every rule can fail."""
    assert 1 == len(rule(fake_tree(tmp_path, path, source)))


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_what_the_table_allows_is_not_caught(tmp_path: Path, path: str, source: str) -> None:
    """No rule fails on good source."""
    tree = fake_tree(tmp_path, path, source)
    assert [] == [problem for rule in RULES for problem in rule(tree)]


def test_importing_everything_installs_no_reactor() -> None:
    """The rule about reactors holds at run time too, through whatever our modules import."""
    names = [m.name for m in layout.modules(PACKAGE) if not m.name.endswith("__main__")]
    program = f"import sys, {', '.join(names)}\nprint('twisted.internet.reactor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ("False\n", "") == (done.stdout, done.stderr)


def fake_tree(directory: Path, path: str, source: str) -> Path:
    """A package with a few innocent modules and one with this source."""
    package = directory / "mtlsedge"
    files = {
        "__init__.py": "",
        "errors.py": "",
        "identity.py": "",
        "openssl.py": "",
        "config/__init__.py": "",
        "config/loader.py": "",
        "session/__init__.py": "",
        "session/cookie.py": "",
        "policy/__init__.py": "",
        "policy/tree.py": "",
        "trust/__init__.py": "",
        "trust/store.py": "",
        "trust/chain.py": "",
        "trust/b.py": "def f():\n    import mtlsedge.trust.a",
        "ops/__init__.py": "",
        "ops/limits.py": "",
        path: source,
    }
    for name, text in files.items():
        file = package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return package
