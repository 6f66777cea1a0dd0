"""Is what a verifier said a verdict? Whatever it is, one comes of it, or words for its trouble."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from inspect import isawaitable, iscoroutine
from math import isfinite
from types import MappingProxyType
from typing import Any

import txaio
from twisted.internet.defer import Deferred
from twisted.python.reflect import safe_str

from mtlsedge.errors import EdgeError
from mtlsedge.identity import Verdict

_txaio: Any = txaio  # what it offers depends on the framework, and is not typed
_txaio.use_twisted()

_MOST_ATTRIBUTES = 64
_LONGEST_ATTRIBUTE = 1024  # characters of a name or a value
_LONGEST_REASON = 1024  # characters; it is remembered, and goes into every log line


@dataclass(frozen=True, slots=True)
class Trouble:
    """A verifier did not say yes or no; what it did instead, to follow its name in the log."""

    what: str


def comes_later(answer: object) -> bool:
    """Whether an answer is one to wait for."""
    return isinstance(answer, Deferred) or isawaitable(answer)


def as_deferred(answer: Any) -> Deferred[object]:
    """One kind of answer in the place of three."""
    if not isinstance(answer, Deferred) and not iscoroutine(answer):
        answer = _awaited(answer)
    deferred: Deferred[object] = _txaio.as_future(lambda: answer)
    return deferred


def checked(name: str, answer: object) -> Verdict | Trouble:
    """A verdict that is one; a rejecting one names its verifier."""
    if type(answer) is not Verdict or not isinstance(answer.accepted, bool):
        return Trouble(f"answered {type(answer).__name__}, which is no verdict")
    if not isinstance(answer.cache_for, (float, int)) or not isfinite(answer.cache_for):
        return Trouble("answered a verdict whose cache_for is no number of seconds")
    if answer.failed is not False and (answer.accepted or answer.failed is not True):
        return Trouble("answered a verdict that is a yes and a failure, or whose failed is odd")
    if not answer.accepted:
        return _rejection(name, answer)
    if not answer.attributes:
        return answer
    try:
        return replace(answer, attributes=_texts(answer.attributes))
    except Exception:  # a mapping may run a verifier's code, too
        return Trouble("attached attributes that are not text, or too many or too long")


def raised(error: BaseException) -> Trouble:
    """What to say of a verifier that raised."""
    kind = "" if isinstance(error, EdgeError) else f"{type(error).__name__}: "
    return Trouble(f"failed: {kind}{safe_str(error)}")


def refusal(name: str, what: str) -> Verdict:
    """A verifier's failure, by its name."""
    return Verdict(False, f"the verifier {name!r} {what}", failed=True)


def _rejection(name: str, answer: Verdict) -> Verdict:
    what = "cannot tell" if answer.failed else "says no"
    reason = safe_str(answer.reason)[:_LONGEST_REASON] if answer.reason else ""
    said = f"the verifier {name!r} {what}{f': {reason}' if reason else ''}"
    return Verdict(False, said, cache_for=answer.cache_for, failed=answer.failed)


async def _awaited(answer: Awaitable[object]) -> object:
    return await answer


def _texts(attributes: Mapping[str, str]) -> Mapping[str, str]:
    """A copy that can neither change nor run anybody's code."""
    copy = dict(attributes)
    if len(copy) > _MOST_ATTRIBUTES:
        raise ValueError(len(copy))
    for text in (*copy, *copy.values()):
        if type(text) is not str or len(text) > _LONGEST_ATTRIBUTE:
            raise TypeError(text)
    return MappingProxyType(copy)
