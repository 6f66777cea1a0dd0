"""What does the edge say in a handshake? One context per host, and the lobby they start in.

Every connection begins in the *lobby*: a context with no certificate and no store, whose only
work is to read the server name. OpenSSL copies its options, modes, protocol versions and
verify callback when the connection is made, so those are set there; certificate, ciphers,
store and CA names come from the host's context.

No context keeps sessions. Tickets are forbidden host by host, on the connection, and not in
the lobby: a TLS 1.3 connection that begins with ``OP_NO_TICKET`` still sends two tickets, that
nobody could redeem; one that is told while it chooses its host sends none.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from weakref import WeakValueDictionary

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from mtlsedge import model
from mtlsedge.openssl import NO_AUTO_CHAIN, on_server_name
from mtlsedge.tls.hosts import TLSHost
from mtlsedge.trust.judge import ClientTrust

VerifyCallback = Callable[[SSL.Connection, crypto.X509, int, int, int], bool]

_OP_PRIORITIZE_CHACHA = 0x200000  # ChaCha20 for clients that put it first: they have no AES
_OPTIONS = (
    SSL.OP_NO_COMPRESSION
    | SSL.OP_NO_RENEGOTIATION
    | SSL.OP_CIPHER_SERVER_PREFERENCE
    | SSL.OP_SINGLE_ECDH_USE
    | _OP_PRIORITIZE_CHACHA
)
_TLS13_CIPHERS = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
_TLS12_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
_SESSION_ID_CONTEXT = b"mtlsedge"
_CHAIN_DEPTH = 10

_Recipe = tuple[bytes, bytes, bytes, bool, bool]
_shared: WeakValueDictionary[_Recipe, SSL.Context] = WeakValueDictionary()


def build_lobby(choose: Callable[[SSL.Connection], bool], verify: VerifyCallback) -> SSL.Context:
    """The context in which every connection starts; ``choose`` is called for every ClientHello.

    Its ticket keys are the ones that count for all hosts: a session made at one host can be
    resumed at another, before the server name is even looked at.
    """
    lobby = _context()
    lobby.set_verify(SSL.VERIFY_NONE, verify)
    on_server_name(lobby, choose)
    return lobby


def build_host(name: str, host: model.Host, trust: ClientTrust | None) -> TLSHost:
    """The TLS side of one host, or of those of its names that ``name`` stands for.

    Raises:
        SSL.Error: OpenSSL refuses the certificate or the key (too weak, for instance).
    """
    require = host.handshake == "require"
    mode = SSL.VERIFY_NONE
    if trust is not None:
        mode = SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE
        if require:
            mode |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    context = _shared_context(host, trust, require)
    return TLSHost(name, context, mode, trust, require, host.resumption == "recheck")


def advertised(host: model.Host, trust: ClientTrust | None) -> tuple[x509.Certificate, ...]:
    """The CAs that a host's CertificateRequest names, each name once; none stands for any.

    Browsers offer the certificates of these CAs (RFC 8446 §4.2.4, RFC 5246 §7.4.4). The names
    are no part of what is verified, and go out with every handshake.
    """
    if trust is None or host.advertise_cas == "never":
        return ()
    most = model.ADVERTISED_UNASKED
    if host.advertise_cas == "always":
        most = model.ADVERTISED_AT_MOST
    names = [authority.subject.public_bytes() for authority in trust.authorities]
    return trust.authorities if model.names_size(names) <= most else ()


def _shared_context(host: model.Host, trust: ClientTrust | None, require: bool) -> SSL.Context:
    """The one context of all hosts that are alike, in this configuration and the next.

    A reload then costs what it changes. A context in use can be changed no more, so all that
    goes into one is what it is found by.
    """
    named = advertised(host, trust)
    recipe = (
        host.key_pair.certificate,
        sha256(host.key_pair.key).digest(),
        trust.digest if trust is not None else b"",
        bool(named),
        require,
    )
    context = _shared.get(recipe)
    if context is not None:
        return context
    context = _context()
    _present(context, host.key_pair)
    for authority in named:
        context.add_client_ca(authority)
    if require and trust is not None:
        store = context.get_cert_store()
        assert store is not None
        trust.fill(store)
    _shared[recipe] = context
    return context


def _context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS | NO_AUTO_CHAIN)
    context.set_cipher_list(_TLS12_CIPHERS)
    context.set_tls13_ciphersuites(_TLS13_CIPHERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(_SESSION_ID_CONTEXT)
    context.set_verify_depth(_CHAIN_DEPTH)
    return context


def _present(context: SSL.Context, key_pair: model.KeyPair) -> None:
    leaf, *intermediates = x509.load_pem_x509_certificates(key_pair.certificate)
    context.use_certificate(leaf)
    for certificate in intermediates:
        context.add_extra_chain_cert(certificate)
    # The operator's own key: OpenSSL finds out below whether it fits, in a thousandth of the time.
    key = load_pem_private_key(key_pair.key, None, unsafe_skip_rsa_key_validation=True)
    context.use_privatekey(key)  # type: ignore[arg-type]  # of a kind that TLS can use, or it raises
    context.check_privatekey()
