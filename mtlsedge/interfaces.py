"""What can be plugged in. Third parties implement these; this file imports nothing of ours.

``docs/verifiers.md`` walks through writing a verifier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from mtlsedge.identity import PeerChain


class IVerifier(Interface):
    """Judges one presented chain. It must have no side effects on the connection."""

    def verify(peer: PeerChain, host: str) -> Any:  # noqa: N805
        """Judge a chain that ended at a client CA of ``host`` (a canonical server name).

        Returns a ``Verdict``, or a Deferred or awaitable of one. The connection is paused
        meanwhile, and the Deferred is cancelled when nobody waits any more. Raising is no
        verdict, and neither is any other answer: what is then done is the operator's
        ``on_error``, a refusal unless they wrote otherwise. It is called in the reactor's
        thread and must not block: what does is interrupted (a ``BaseException`` is raised in it),
        and asked again in a thread of its own, or not for a while.
        """


class IVerifierService(IVerifier):
    """A verifier that needs something of the edge, or keeps data of its own fresh.

    It is started in every process that serves clients, before any of them is judged by it, and
    stopped when the configuration that names it is replaced, and nobody waits for it any more,
    or when the process ends.
    """

    def startService(edge: Any) -> Any:  # noqa: N805
        """Begin; ``edge`` provides ``IEdge``. May return a Deferred, which nobody waits for.

        A verifier that fails here is asked all the same, and should then raise.
        """

    def stopService() -> Any:
        """End; cancel timers, close connections. May return a Deferred, which is waited for."""


class IEdge(Interface):
    """What a process that serves clients lends to its verifiers."""

    reactor: Any = Attribute("Where timers and connections live.")

    def now() -> float:
        """The wall clock, in seconds since the epoch."""

    def watch(
        files: Mapping[Path, bytes],  # noqa: N805
        changed: Callable[[Path, bytes], None],
        troubled: Callable[[Path, str], None],
    ) -> Any:
        """Watch files whose content is known already; the watch that comes back has ``stop()``.

        ``changed`` is told a path and the whole content whenever that is another;
        ``troubled`` a path and why it cannot be read.
        """

    def http(ca: bytes) -> Any:  # noqa: N805
        """An HTTP client that trusts, for https, the CAs of a PEM bundle and no others.

        Its ``get(url)`` and ``post(url, content, content_type, bearer="")``, the last a token
        to show, give a Deferred of the status and the body, which may be cancelled; its
        ``close()`` closes kept connections.
        """

    def sign(claims: Mapping[str, Any]) -> str:  # noqa: N805
        """A JWT (RS256) of these claims, by the key that ``/cdn-cgi/access/certs`` publishes."""


class IVerifierFactory(Interface):
    """A Twisted plugin that makes verifiers from strings such as ``"san:dns=*.example.com"``.

    It may have an attribute ``files``: the keys whose values are paths. Those reach
    ``makeVerifier`` absolute; the operator writes them relative to the configuration file.
    """

    name: str = Attribute("The word before the colon.")
    syntax: str = Attribute("One line that shows what may stand after the colon.")
    help: str = Attribute("What it does, in a few sentences, for --help-verifiers.")

    def makeVerifier(spec: str) -> Any:  # noqa: N805
        """An ``IVerifier`` for the text after the colon; raises ``BadVerifier``.

        Also called to see whether a configuration is right: it may read files, and must leave
        everything as it is. What the text says of ``timeout``, ``on_error``, ``concurrency``
        and ``queue`` is taken out before.
        """
