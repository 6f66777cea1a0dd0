"""Who is this? From a client's certificates to an ``Identity``.

The TLS handshake proves that the client holds its key; this room judges the chain, by one code
path for full and resumed handshakes alike:

    certificates  bytes -> Certificate           (read once, kept by its bytes)
    authorities   one client CA: its anchors, its store, its revocation lists
    chains        Certificate -> Built | Failed  (strength, policies: what OpenSSL does not check)
    crls          bytes -> Crl                   (crl_entries, crl_signatures; distribution: scopes)
    standing      Crls, an issuer -> what they say of its certificates, and until when
    revocation    is any certificate of a verified chain revoked? (crl_lookup: at what cost)
    crl_update    which lists serve after a place has new ones; crl_health: how they are
    ocsp          the same, asked of a responder: bytes -> Answer (ocsp_signers: who may say so?)
    ocsp_status   what is known, and who is asked when (responders: with restraint)
    ocsp_chains   what that means for a chain
    verifiers     "san:dns=..." -> IVerifier     (chain, san and pin are built in)
    asking        one verifier -> Verdict, whatever it does
    judge         all of it for one host: ClientTrust
    lifetime      is who was let in still good, and until when?
"""
