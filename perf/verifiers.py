"""What does a verifier cost? The edge with one, against the edge without."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf import report
from perf.catalogue import EDGE, ROOT, TEMPLATES, Kind
from perf.keys import CLIENT_NAME
from perf.outcome import Outcome
from perf.plan import Plan
from perf.rounds import Run

_CA_HOSTS = 'hosts = ["@name@"]\n'
_REQUIRE = 'require = [{ common_name = ["@client_names@"] }]'
_PLUGIN = TEMPLATES / "at_once.py"
_ITS_NAME = "at-once"


@dataclass(frozen=True, slots=True)
class Case:
    """One configuration: the usual one, and the verifiers that it names, as strings.

    ``on_ca`` is on the client CA, and is asked once for each connection; ``in_rule`` is one
    thing more that the policy requires. "" is none.
    """

    name: str
    title: str
    on_ca: str = ""
    in_rule: str = ""

    def template(self) -> str:
        """The edge's template with these verifiers."""
        text = (TEMPLATES / EDGE.template).read_text()
        assert _CA_HOSTS in text
        assert _REQUIRE in text
        if self.on_ca:
            text = text.replace(_CA_HOSTS, f'{_CA_HOSTS}verifiers = ["{self.on_ca}"]\n')
        if self.in_rule:
            rule = f', {{ verifier = "{self.in_rule}" }}]'
            text = text.replace(_REQUIRE, _REQUIRE.removesuffix("]") + rule)
        return text


WITHOUT = Case("without", "no verifier: what the others are measured against")
AGAIN = Case("again", "no verifier either, in another process: what is between two of the same")
CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        AGAIN,
        Case("client-ca", "on the client CA; its verdict holds for an hour", "at-once:3600"),
        Case("rule", "in a rule; its verdict holds for an hour", in_rule="at-once:3600"),
        Case("rule-each", "in a rule; its verdict is for one request", in_rule="at-once:0"),
        Case("san", "the built-in san: in a rule", in_rule=f"san:dns={CLIENT_NAME}"),
        Case("pin", "the built-in pin: in a rule", in_rule="pin:sha256=@client_pin@"),
    )
}
AT_MOST: Mapping[str, float] = {"handshakes": 1.05, "requests": 1.02}
"""What a verifier that answers at once may cost, against none."""


def cases_from(names: str) -> list[Case]:
    """Those of a list with commas.

    Raises:
        ValueError: there is none of such a name.
    """
    for name in names.split(","):
        if name not in CASES:
            raise ValueError(f"--cases: {name!r} is none of {', '.join(CASES)}")
    return [CASES[name] for name in dict.fromkeys(names.split(","))]


def edges(directory: Path, cases: Sequence[Case]) -> tuple[Kind, ...]:
    """The edge without a verifier, and in each of these cases.

    Their templates are written there, and the plugin where their processes find it.
    """
    plugins = directory / "plugins"
    (plugins / "twisted" / "plugins").mkdir(parents=True)
    shutil.copy(_PLUGIN, plugins / "twisted" / "plugins")
    found = []
    for case in (WITHOUT, *cases):
        template = directory / f"{case.name}.toml"
        template.write_text(case.template())
        path = os.pathsep.join((str(ROOT), str(plugins)))
        kind = dataclasses.replace(
            EDGE, name=case.name, template=str(template), environment={"PYTHONPATH": path}
        )
        found.append(kind)
    return tuple(found)


def outcome(plan: Plan, run: Run, around: dict[str, Any]) -> Outcome:
    """As of any run, and what each of its names stands for."""
    found = report.outcome(plan, run, around)
    legend = [
        f"  {case.name:<14}{case.title}"
        for case in (WITHOUT, *CASES.values())
        if any(one.title == case.name for one in run.measured)
    ]
    text = "\n".join([found.text, "", f"of the edge ({_ITS_NAME} is our own plugin)", *legend])
    return dataclasses.replace(found, text=text)
