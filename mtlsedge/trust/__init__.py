"""Who is this? From a client's certificates to an ``Identity``.

The TLS handshake proves that the client holds its key; this room judges the chain, by one code
path for full and resumed handshakes alike:

    certificates  bytes -> Certificate           (read once, kept by its bytes)
    authorities   one client CA: its anchors, its store, its revocation lists
    chains        Certificate -> Built | Failed  (strength: the checks OpenSSL does not make)
    crls          bytes -> Crl
    revocation    is any certificate of a verified chain revoked?
    verifiers     "san:dns=..." -> IVerifier     (chain, san and pin are built in)
    asking        one verifier -> Verdict, whatever it does
    judge         all of it for one host: ClientTrust
"""
