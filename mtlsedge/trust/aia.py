"""Where does a certificate say that its status is told? Its own word, for comparison only."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from mtlsedge.identity import Certificate


def named_responders(certificate: Certificate) -> tuple[str, ...]:
    """The OCSP responders in a certificate's authority information access (RFC 5280 §4.2.2.1).

    A client's certificate says what its CA put there, and a CA may put there what it is told:
    nothing of this is ever asked unless the operator allowed it, letter by letter.
    """
    try:
        found = certificate.x509.extensions.get_extension_for_class(
            x509.AuthorityInformationAccess
        ).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(
        access.access_location.value
        for access in found
        if access.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(access.access_location, x509.UniformResourceIdentifier)
    )
