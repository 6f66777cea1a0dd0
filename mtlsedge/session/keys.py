"""Which key signs tokens now, and which keys may verify them?

A ring is a line of keys, each with the moment it begins to sign. The next key joins the ring,
and is published, a while before that moment, so that verifiers that cache the key set have it
when the first token signed with it reaches them. A key that no longer signs stays published for
the overlap, which must be at least the longest session.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from mtlsedge.errors import EdgeError
from mtlsedge.session import keystore
from mtlsedge.session.keystore import SigningKey

_log = Logger()

_LONGEST_LEAD = 86400.0


class KeyRing:
    """The token-signing keys of one edge, shared by its workers through a file.

    ``now`` is the wall clock, in seconds since the epoch; ``rotation`` and ``overlap`` are
    seconds. Make one with ``open``, and call ``rotate_if_due`` every minute or so: that is also
    how a worker learns of the keys that another one made.
    """

    def __init__(
        self,
        state: Path,
        now: Callable[[], float],
        rotation: float,
        overlap: float,
        keys: tuple[SigningKey, ...],
    ) -> None:
        self._state = state
        self._now = now
        self._rotation = rotation
        self._overlap = overlap
        self._lead = min(_LONGEST_LEAD, rotation / 4)
        self._stamp = keystore.stamp(state)
        self._complaint = ""
        self._adopt(keys)

    @classmethod
    def open(
        cls, state: Path, now: Callable[[], float], rotation: float, overlap: float
    ) -> KeyRing:
        """The ring kept in a directory; both are made if they are not there.

        Raises:
            BadKeyRing: an ``EdgeError`` that names the file, what is wrong and what to do.
        """
        with keystore.locked(state):
            keys = keystore.load(state)
            if keys is None:
                keys = (keystore.make_key(now()),)
                keystore.save(state, keys)
            return cls(state, now, rotation, overlap, keys)

    @property
    def signing(self) -> SigningKey:
        """The key that signs now: the newest whose time has come."""
        now = self._now()
        for key in self._newest_first:
            if key.signs_from <= now:
                return key
        # The clock went back before the first key was made. Some key must sign.
        return self._newest_first[-1]

    def verifying(self, kid: str) -> SigningKey | None:
        """The published key of that name, or None."""
        key = self._by_kid.get(kid)
        return key if key is not None and self._is_published(key) else None

    def public_keys(self) -> dict[str, Any]:
        """What ``/cdn-cgi/access/certs`` answers, in Cloudflare's form.

        ``keys`` is a JWK set (RFC 7517 §5) with the keys that signed, sign and will sign;
        ``public_cert`` holds the signing key, and ``public_certs`` all of them, as certificates.
        """
        keys = [key for key in self._newest_first if self._is_published(key)]
        certificates = [{"kid": key.kid, "cert": key.certificate} for key in keys]
        signing = self.signing
        return {
            "keys": [dict(key.public) for key in keys],
            "public_cert": {"kid": signing.kid, "cert": signing.certificate},
            "public_certs": certificates,
        }

    def rotate_if_due(self) -> bool:
        """Take over what another worker wrote, and add the next key when its time is near.

        Returns whether the ring changed. Never raises: a ring that cannot be read or written is
        logged, and the keys in memory go on signing.
        """
        try:
            changed = self._reread()
            if self._is_due():
                changed = self._rotate()
        except (EdgeError, OSError) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                _log.error(
                    "the token-signing keys could not be rotated; those in use stay: {error}",
                    error=error,
                )
            return False
        self._complaint = ""
        return changed

    def _adopt(self, keys: tuple[SigningKey, ...]) -> None:
        self._newest_first = tuple(sorted(keys, key=lambda key: key.signs_from, reverse=True))
        self._by_kid = {key.kid: key for key in keys}
        successors = (None, *self._newest_first)
        # When each key's overlap ends; the newest has no end yet.
        self._ends = {
            key.kid: newer.signs_from + self._overlap if newer is not None else None
            for key, newer in zip(self._newest_first, successors, strict=False)
        }

    def _is_published(self, key: SigningKey) -> bool:
        end = self._ends[key.kid]
        return end is None or self._now() < end

    def _is_due(self) -> bool:
        return self._now() >= self._newest_first[0].signs_from + self._rotation - self._lead

    def _reread(self) -> bool:
        stamp = keystore.stamp(self._state)
        if stamp == self._stamp:
            return False
        keys = keystore.load(self._state)
        if keys is None:
            raise keystore.BadKeyRing(
                f"{self._state / keystore.FILE}: it is gone; put it back, or restart the edge to "
                "have new keys made, which ends every session"
            )
        self._stamp = stamp
        self._adopt(keys)
        return True

    def _rotate(self) -> bool:
        with keystore.locked(self._state):
            self._reread()
            if not self._is_due():
                return True  # another worker was faster
            now = self._now()
            signs_from = max(self._newest_first[0].signs_from + self._rotation, now + self._lead)
            kept = tuple(key for key in self._newest_first if self._is_published(key))
            keys = (keystore.make_key(signs_from), *kept)
            keystore.save(self._state, keys)
            self._stamp = keystore.stamp(self._state)
            self._adopt(keys)
        return True
