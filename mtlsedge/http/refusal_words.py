"""In which plain words is each refusal told? A table, and the words for what is not in it.

A class of reason says what the client itself can know or put right; it never says which rule,
which list or which certificate authority decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from mtlsedge.identity import Reason


@dataclass(frozen=True, slots=True)
class Words:
    """What a person reads: a title, what happened, and what to do about it."""

    title: str
    sentence: str
    advice: tuple[str, ...] = ()
    mark: Literal["certificate", "lock", "break", "clock"] = "lock"


_QUOTE_ID = "If that does not help, ask whoever runs this site, and give them the request id below."
_NEW_ONE = "Ask whoever runs this site for a new certificate, and give them the request id below."
_LATER = "Wait a minute, then try again."
_CLOSE_ALL = (
    "If you have another certificate, close every window of the browser and come back, so that "
    "it asks you again which one to use."
)

WORDS: dict[str, Words] = {
    Reason.NOT_PRESENTED.value: Words(
        "This site needs your certificate",
        "Only people and devices that show a client certificate are let in, and you showed none.",
        (
            "If the browser asked you to pick a certificate and you cancelled, close all its "
            "windows, come back, and pick yours.",
            "If it did not ask, the certificate is not installed on this device. Install it (it "
            "comes as a file whose name ends with .p12 or .pfx), then start the browser again.",
            "If you have no certificate, ask whoever runs this site for one.",
        ),
        "certificate",
    ),
    Reason.EXPIRED.value: Words(
        "Your certificate has expired",
        "You showed a certificate, but the date until which it is valid has passed.",
        ("Check that the date and time of this device are right.", _NEW_ONE, _CLOSE_ALL),
        "certificate",
    ),
    Reason.NOT_YET_VALID.value: Words(
        "Your certificate is not valid yet",
        "You showed a certificate, but the date from which it is valid is still to come.",
        ("Check that the date and time of this device are right.", _QUOTE_ID),
        "certificate",
    ),
    Reason.UNTRUSTED.value: Words(
        "Your certificate is not known here",
        "You showed a certificate, but not one from an authority that this site accepts.",
        (_CLOSE_ALL, _NEW_ONE),
        "certificate",
    ),
    Reason.REVOKED.value: Words(
        "Your certificate has been revoked",
        "Whoever issued it has withdrawn it, so it no longer opens anything here.",
        (_NEW_ONE, _CLOSE_ALL),
        "certificate",
    ),
    Reason.CRL_UNUSABLE.value: Words(
        "Your certificate cannot be checked right now",
        "This site could not make sure that your certificate has not been revoked, so nobody with "
        "a certificate like yours gets in for the moment. The fault is not yours.",
        ("Tell whoever runs this site, and give them the request id below.",),
        "certificate",
    ),
    Reason.UNFIT.value: Words(
        "Your certificate is not meant for this",
        "You showed a certificate that was made for another purpose, or in a way that this site "
        "does not accept.",
        (_CLOSE_ALL, _NEW_ONE),
        "certificate",
    ),
    Reason.REJECTED.value: Words(
        "Your certificate was not accepted",
        "It was issued by an authority that this site knows, but a further check said no.",
        (_CLOSE_ALL, _QUOTE_ID),
        "certificate",
    ),
    "policy_denied": Words(
        "You do not have access to this page",
        "The rules of this site do not let you in here with what you showed.",
        (_CLOSE_ALL, "If you should have access, ask whoever runs this site, and give them the "
         "request id below."),
    ),
    "host_denied": Words(
        "Nothing is open at this address",
        "This part of the site is not open to anybody.",
        ("Check the address for mistakes.", _QUOTE_ID),
    ),
    "not_found": Words(
        "There is nothing here",
        "No page belongs to this address.",
        ("Check the address for mistakes.",),
    ),
    "ambiguous_path": Words(
        "This address can be read in two ways",
        "Servers disagree on what such an address means, and the readings fall under different "
        "rules, so it is refused.",
        ("Write the address without encoded slashes, backslashes, double slashes or dots.",),
    ),
    "malformed": Words(
        "The request was not understood",
        "What was sent is not a proper web request.",
        ("Load the page again.", _QUOTE_ID),
    ),
    "too_large": Words(
        "The request is too large",
        "It, or a part of it, is larger than this site accepts.",
        ("If it was an upload, try a smaller file.", "If not, delete this site's cookies.",
         _QUOTE_ID),
    ),
    "timeout": Words(
        "The request took too long to arrive",
        "The site waited for the rest of it and then gave up.",
        ("Check the connection of this device, then try again.",),
        "clock",
    ),
    "misdirected": Words(
        "The request came to the wrong place",
        "The connection was made for another site than the one that was asked for.",
        ("Close every window of the browser and try again.", _QUOTE_ID),
        "break",
    ),
    "upgrade_refused": Words(
        "This change of protocol is not allowed",
        "The request asked to go on in another protocol, and this site does not allow that one.",
        (_QUOTE_ID,),
    ),
    "origin_unreachable": Words(
        "The site is not answering",
        "You were let in, but the server behind this address could not be reached.",
        (_LATER, _QUOTE_ID),
        "break",
    ),
    "origin_broken": Words(
        "The site gave an answer that made no sense",
        "You were let in, but what the server behind this address sent could not be used.",
        (_LATER, _QUOTE_ID),
        "break",
    ),
    "origin_timeout": Words(
        "The site took too long to answer",
        "You were let in, but the server behind this address did not answer in time.",
        (_LATER, _QUOTE_ID),
        "clock",
    ),
    "overloaded": Words(
        "The site is very busy",
        "More requests came in than it can answer at the moment.",
        ("Wait a few seconds, then try again.",),
        "clock",
    ),
}  # fmt: skip
"""By the class of reason."""


def words_for(status: int, reason_class: str) -> Words:
    """The words for a class of reason, or those of the status where the class is unknown."""
    return WORDS.get(reason_class) or _words_for_status(status)


def _words_for_status(status: int) -> Words:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "The request was refused"
    if status >= 500:
        return Words(phrase, "Something went wrong on this side.", (_LATER, _QUOTE_ID), "break")
    return Words(phrase, "The request was refused.", (_QUOTE_ID,))
