"""The few OpenSSL calls that pyOpenSSL has no name for.

Nothing else in this package touches pyOpenSSL's private parts. Each call says what would go
wrong without it; ``tests/test_openssl.py`` notices when a release takes one away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL, crypto
from OpenSSL._util import ffi as _ffi
from OpenSSL._util import lib as _lib
from twisted.logger import Logger

_log = Logger()

NO_AUTO_CHAIN = 0x8
"""SSL_MODE_NO_AUTO_CHAIN: never build the server's own chain out of the client CAs' store."""

_ALERT_UNRECOGNIZED_NAME = 112
_MODE_AUTO_RETRY = 0x4

_forget_errors: Callable[[], None] = _lib.ERR_clear_error
"""Empty this thread's error queue, as OpenSSL demands before every call on a connection.

One client's bad certificate leaves errors behind although its handshake goes on, and what is
found in the queue after a later call is taken for the fault of another connection.
"""


def read_by_record(connection: SSL.Connection) -> None:
    """Let no call read more than one record that carries no application data.

    pyOpenSSL asks for the contrary, and then a client that sends nothing but TLS 1.3 KeyUpdates
    keeps one ``recv`` busy, and with it the process, for as long as it sends. Whoever reads must
    come back after a ``WantReadError``, as a level-triggered reactor does.
    """
    _lib.SSL_clear_mode(connection._ssl, _MODE_AUTO_RETRY)


_ALERT_FATAL: int = _lib.SSL_TLSEXT_ERR_ALERT_FATAL


def require_client_purpose(store: crypto.X509Store) -> None:
    """Make a store verify for TLS clients: key usage and extended key usage of every link.

    Without it a server's certificate, or one for signing mail, would pass for a client's.
    """
    if _lib.X509_STORE_set_purpose(store._store, _lib.X509_PURPOSE_SSL_CLIENT) != 1:
        raise crypto.Error("OpenSSL does not know the purpose of TLS clients")


def was_resumed(connection: SSL.Connection) -> bool:
    """Whether the handshake resumed an earlier session: no verify callback ran then."""
    return bool(_lib.SSL_session_reused(connection._ssl))


def on_server_name(context: SSL.Context, choose: Callable[[SSL.Connection], bool]) -> None:
    """Call ``choose`` once the ClientHello is read; False ends it with ``unrecognized_name``.

    pyOpenSSL's own method can refuse only by an exception, which it prints on standard error
    for every stranger that knocks. Whatever ``choose`` raises is logged and ends it too.
    """

    def wrapper(ssl: Any, alert: Any, _: Any) -> int:
        chosen = False
        try:
            chosen = choose(SSL.Connection._reverse_mapping[ssl])
        except Exception:
            _log.failure("choosing a host by its server name failed; the client is refused")
        if chosen:
            return 0
        alert[0] = _ALERT_UNRECOGNIZED_NAME
        return _ALERT_FATAL

    # What is worse than an Exception, cffi reports, and returns `error`.
    callback = _ffi.callback("int (*)(SSL *, int *, void *)", wrapper, error=_ALERT_FATAL)
    # The context must hold the callback for as long as it lives, as pyOpenSSL's method does.
    context._tlsext_servername_callback = callback
    _lib.SSL_CTX_set_tlsext_servername_callback(context._context, callback)


def verify_error_text(code: int) -> str:
    """OpenSSL's words for an ``X509_V_ERR_*`` code."""
    text: bytes = _ffi.string(_lib.X509_verify_cert_error_string(code))
    return text.decode("ascii", "replace")


_let_through = _ffi.callback("int(int, X509_STORE_CTX *)", lambda ok, store: 1)


def ask_without_verifying(connection: SSL.Connection, mode: int) -> None:
    """Ask for a client certificate and let any chain through, to be judged afterwards.

    The handshake still proves that the client holds the leaf's key (RFC 8446 §4.4.3). pyOpenSSL
    would call back into Python with an object per certificate and error, to hear "yes" each
    time: 2 % of a handshake.
    """
    _lib.SSL_set_verify(connection._ssl, mode, _let_through)


def shake_hands(connection: SSL.Connection) -> bool:
    """``connection.do_handshake()``, without an exception where the client is to speak next.

    Returns:
        Whether the handshake is done.

    Raises:
        SSL.Error: as ``do_handshake`` does, but for ``WantReadError``.
    """
    _forget_errors()
    ssl = connection._ssl
    outcome = _lib.SSL_do_handshake(ssl)
    if outcome > 0:
        return True
    if _lib.SSL_get_error(ssl, outcome) != _WANT_READ:
        connection._raise_ssl_error(ssl, outcome)
    return False


_WANT_READ: int = _lib.SSL_ERROR_WANT_READ


def agreement(connection: SSL.Connection) -> tuple[object, object, bytes]:
    """What a handshake agreed on, as a key that is the same for the same version, cipher, group.

    OpenSSL keeps versions and ciphers in tables that outlive every connection, so that where
    they are says what they are; pyOpenSSL makes three texts of them, each time.
    """
    ssl = connection._ssl
    group = _lib.SSL_get0_group_name(ssl) if _KNOWS_GROUPS else _NULL
    return (
        _lib.SSL_get_version(ssl),
        _lib.SSL_get_current_cipher(ssl),
        _ffi.string(group) if group != _NULL else b"",
    )


_NULL = _ffi.NULL
_KNOWS_GROUPS = bool(getattr(_lib, "Cryptography_HAS_SSL_GET0_GROUP_NAME", 0))


def peer_certificates(connection: SSL.Connection) -> tuple[bytes | None, list[bytes]]:
    """The DER of a client's leaf (None where there is none) and of what it sent besides.

    pyOpenSSL makes three objects and a buffer of each certificate on the way. The leaf stays at
    hand for `load_certificate`, until another client's takes its place.

    Raises:
        crypto.Error: OpenSSL cannot write what it has read.
    """
    global _latest
    ssl = connection._ssl
    leaf = _lib.SSL_get_peer_certificate(ssl)
    if leaf == _NULL:
        return None, []
    leaf = _ffi.gc(leaf, _lib.X509_free)
    der = _der(leaf)
    _latest = der, leaf
    chain = _lib.SSL_get_peer_cert_chain(ssl)
    if chain == _NULL:
        return der, []
    count = _lib.sk_X509_num(chain)
    return der, [_der(_lib.sk_X509_value(chain, at)) for at in range(count)]


_latest: tuple[bytes, Any] = b"", _NULL


def load_certificate(der: bytes) -> crypto.X509:
    """``crypto.load_certificate``; what the latest handshake has parsed is not parsed again.

    Raises:
        crypto.Error: OpenSSL cannot read it.
    """
    latest, leaf = _latest
    if der != latest:
        return crypto.load_certificate(crypto.FILETYPE_ASN1, der)
    _lib.X509_up_ref(leaf)
    return crypto.X509._from_raw_x509_ptr(leaf)


def verified_chain(
    store: crypto.X509Store, leaf: crypto.X509, sent: list[crypto.X509]
) -> tuple[bytes, ...]:
    """The DER of ``X509StoreContext(store, leaf, sent).get_verified_chain()``, leaf first.

    pyOpenSSL makes an object and a buffer of each certificate on the way.

    Raises:
        crypto.X509StoreContextError: there is none.
        crypto.Error: OpenSSL cannot write what it has read.
    """
    context = crypto.X509StoreContext(store, leaf, sent)._verify_certificate()
    chain = _lib.X509_STORE_CTX_get1_chain(context)
    certificates = [_lib.sk_X509_value(chain, at) for at in range(_lib.sk_X509_num(chain))]
    try:
        return tuple(map(_der, certificates))
    finally:
        for each in certificates:
            _lib.X509_free(each)
        _lib.sk_X509_free(chain)


def _der(certificate: Any) -> bytes:
    written = _lib.i2d_X509_bio(_pipe, certificate)
    parts = []
    while (count := _lib.BIO_read(_pipe, _plaintext, RECORD)) > 0:
        parts.append(_ffi.unpack(_plaintext, count))
        if count < RECORD:
            break
    if written != 1:
        raise crypto.Error("OpenSSL cannot write a certificate that it has read")
    return parts[0] if len(parts) == 1 else b"".join(parts)


_pipe = _ffi.gc(_lib.BIO_new(_lib.BIO_s_mem()), _lib.BIO_free)  # empty between two calls

RECORD = 16 * 1024
"""Bytes: no TLS record carries more, so one read leaves nothing behind in OpenSSL."""

_plaintext = _ffi.new("char[]", 4 * RECORD)  # of whichever connection is read just now
_behind = tuple(_plaintext + RECORD * number for number in range(4))


def read_records(connection: SSL.Connection) -> tuple[bytes, bool]:
    """``connection.recv``, without its allocation and look-ups where all is well.

    Returns:
        Plaintext, and whether it is worth asking for more at once. Behind a full record there
        is likely to be another: up to four come together, which saves whoever passes them on
        as many system calls.

    Raises:
        SSL.Error: as ``recv`` does.
    """
    _forget_errors()
    ssl = connection._ssl
    count: int = _lib.SSL_read(ssl, _plaintext, RECORD)
    if count <= 0:
        connection._raise_ssl_error(ssl, count)
    if count < RECORD:
        return _ffi.unpack(_plaintext, count), False
    more = True
    for room in _behind[1:]:
        last: int = _lib.SSL_read(ssl, room, RECORD)
        if last <= 0:
            # Any other error is met again by the next call, which has nothing to lose by it.
            more = _lib.SSL_get_error(ssl, last) != _WANT_READ
            break
        count += last
        if last < RECORD:
            more = False
            break
    return _ffi.unpack(_plaintext, count), more


def write_some(connection: SSL.Connection, data: bytes | memoryview) -> int:
    """``connection.send(data)``, likewise.

    Raises:
        SSL.Error: as ``send`` does.
    """
    _forget_errors()
    count: int = _lib.SSL_write(connection._ssl, _ffi.from_buffer(data), len(data))
    if count <= 0:
        connection._raise_ssl_error(connection._ssl, count)
    return count


def say_goodbye(connection: SSL.Connection) -> None:
    """``connection.shutdown()``: what ends without looks cut off (RFC 8446 §6.1).

    Raises:
        SSL.Error: as ``shutdown`` does.
    """
    _forget_errors()
    connection.shutdown()
