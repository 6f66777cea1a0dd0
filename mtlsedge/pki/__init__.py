"""How is a certificate made, withdrawn and handed out?

What is asked for: ``reading`` takes cfssl's JSON apart, ``requests`` and ``profiles`` say what it
means, ``usages`` has the words for what a key may do, ``serials`` reads serial numbers.
What is done: ``mint`` makes whole certificates in memory, ``signing`` signs by a profile, ``crl``
makes revocation lists, ``bundles`` PKCS #12 for browsers.
What is kept: ``files`` puts files in their places, ``keys`` and ``loading`` take them up again,
``ledger`` remembers what was issued and revoked, ``register`` answers questions about that.
"""
