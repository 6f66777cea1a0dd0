"""A third party's plugin with verifiers of every temper, for edges that run as processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import twisted.plugins
from mtlsedge.trust import verifiers

_PLUGIN = '''
"""odd:KIND-ANSWER, such as odd:coroutine-hang; odd:blocks-HOW, such as odd:blocks-loop."""

import re
import socket
import threading
import time

from twisted.internet import defer
from twisted.plugin import IPlugin
from zope.interface import implementer

from mtlsedge.identity import Verdict
from mtlsedge.interfaces import IVerifier, IVerifierFactory, IVerifierService


def outcome(answer):
    if answer == "yes":
        return Verdict(True, attributes={"department": "radiology \\u00e9%"})
    if answer == "no":
        return Verdict(False, "not today")
    if answer == "unsure":
        return Verdict(False, "two of that name", failed=True)
    if answer == "raise":
        raise RuntimeError("the database is gone")
    return "garbage"


LOCK = threading.Lock()
LOCK.acquire()
PAIR = socket.socketpair()


def block(how):
    if how == "sleep":
        time.sleep(3600)
    elif how == "loop":
        while True:
            pass
    elif how == "recv":
        PAIR[0].recv(1)
    elif how == "lock":
        LOCK.acquire()
    elif how == "match":
        re.match("(a+)+$", "a" * 60 + "b")
    elif how == "slow":
        time.sleep(0.8)
    return Verdict(True)


@implementer(IVerifierService)
class Odd:
    def __init__(self, kind, answer):
        self.kind, self.answer, self.edge = kind, answer, None

    def startService(self, edge):
        self.edge = edge
        print("odd: started", flush=True)

    def stopService(self):
        print("odd: stopped", flush=True)

    def verify(self, peer, host):
        if self.kind == "blocks":
            return block(self.answer)
        if self.kind == "sync":
            return block("sleep") if self.answer == "hang" else outcome(self.answer)
        if self.kind == "deferred":
            later = defer.Deferred(lambda _: print("odd: cancelled", flush=True))
            if self.answer != "hang":
                self.edge.reactor.callLater(0.05, self.fire, later)
            else:
                print("odd: hangs", flush=True)
            return later
        return self.think()

    def fire(self, later):
        if later.called:
            return
        try:
            later.callback(outcome(self.answer))
        except RuntimeError as error:
            later.errback(error)

    async def think(self):
        later = defer.Deferred()
        if self.answer != "hang":
            self.edge.reactor.callLater(0.05, later.callback, None)
        await later
        return outcome(self.answer)


@implementer(IPlugin, IVerifierFactory)
class OddFactory:
    name = "odd"
    syntax = "odd:KIND-ANSWER"
    help = "Answers as it is told."

    def makeVerifier(self, spec):
        return Odd(*spec.split("-"))


odd = OddFactory()
'''


def install(directory: Path) -> Mapping[str, str]:
    """Put the plugin somewhere; the environment in which an edge finds it."""
    plugins = directory / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "odd_plugin.py").write_text(_PLUGIN)
    return {"PYTHONPATH": str(directory)}


@contextmanager
def found_here(directory: Path) -> Iterator[None]:
    """Have this process find what is installed there, too."""
    place = str(directory / "twisted" / "plugins")
    twisted.plugins.__path__.append(place)
    verifiers._latest = (0.0, None, ())  # what is remembered for a moment
    try:
        yield
    finally:
        twisted.plugins.__path__.remove(place)
        verifiers._latest = (0.0, None, ())
