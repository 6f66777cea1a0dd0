"""Tables of a configuration, as dicts that `Edge` writes down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from support import certs


def host(*names: str, upstream: str | list[str], **more: Any) -> dict[str, Any]:
    """A ``[[host]]`` table for these names, with a server certificate of the test server CA."""
    pair = certs.server(*names)
    return {
        "names": list(names),
        "certificate": pair.certificate,
        "key": pair.key,
        "upstream": [upstream] if isinstance(upstream, str) else upstream,
        **more,
    }


def client_ca(*hosts: str, name: str = certs.CLIENT_CA, **more: Any) -> dict[str, Any]:
    """A ``[[client_ca]]`` table: the test CA of this name, for these hosts."""
    return {"name": name, "certificate": certs.ca_file(name), "hosts": list(hosts), **more}


def application(domain: str, *policies: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """An ``[[application]]`` table; without policies, any verified certificate passes."""
    chosen = policies or (policy(include=[{"certificate": True}]),)
    # Policies need names that differ; here they are called by their places.
    named = [{"name": f"policy-{place}", **each} for place, each in enumerate(chosen, 1)]
    return {"name": domain, "domain": domain, **more, "policy": named}


def policy(decision: str = "service_auth", **more: Any) -> dict[str, Any]:
    """An ``[[application.policy]]`` table: ``include``, ``require``, ``exclude``, and a name."""
    return {"decision": decision, **more}


def one_host(name: str, upstream: str, **more: Any) -> dict[str, Any]:
    """The usual configuration: one host whose every path wants a verified certificate."""
    return {
        "host": [host(name, upstream=upstream, **more)],
        "client_ca": [client_ca(name)],
        "application": [application(name)],
    }
