"""What can go wrong: every error the edge raises on purpose. This file imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass


class EdgeError(Exception):
    """The base of every error this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration: where it is and how to put it right.

    ``where`` is a key path such as ``host[0].certificate``; ``message`` names the mistake and
    its remedy in one sentence.
    """

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ConfigurationError(EdgeError):
    """A configuration was refused. Holds every problem that was found, not only the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class BadHostName(EdgeError, ValueError):
    """A text that cannot be a host name (RFC 1123, RFC 5890) or an IP address literal."""


class BadTarget(EdgeError, ValueError):
    """A request target that no policy can judge: the request gets a 400."""


class BadCertificate(EdgeError, ValueError):
    """A certificate that cannot be read."""


class BadCrl(EdgeError, ValueError):
    """A certificate revocation list that cannot be read or trusted."""


class VerifierFailed(EdgeError):
    """A verifier could not find out; the message says why. It is logged without a traceback."""


class BadVerifier(EdgeError, ValueError):
    """A verifier string that names no known verifier, or whose arguments are wrong."""


class PkiError(EdgeError):
    """Something that the certificate authority cannot or will not do; the message says why."""
