"""mtlsedge: a TLS terminator and reverse proxy that knows its clients by their certificates.

Data flows one way, and so do imports (``tests/test_layout.py`` holds them to it)::

    tls (socket -> plaintext) -> trust (who?) -> policy (may they?) -> http (plaintext -> origin)

==================  ==========================================================================
``interfaces``      what can be plugged in
``errors``          what can go wrong
``names``           values: host names, one canonical form and one matcher
``identity``        values: who is on the other end
``target``          values: what they ask for
``model``           values: what the operator wants, whatever source it came from
``openssl``         the few OpenSSL calls that pyOpenSSL has no name for
``config``          what did the operator write?
``trust``           who is this? client CAs, CRLs, verifiers
``policy``          may they? selectors, applications, the resource tree
``session``         tokens, key set, cookie
``pki``             mint, sign, revoke
``ops``             how does one run it? log, deadlines, what the reactor does
``tls``             how do bytes become plaintext? port, transport, contexts, SNI
``http``            how does a request reach the origin? parsers, headers, pool, refusals
``workers``         who keeps the worker processes going?
``assembly``        how do the rooms fit together? a configuration, ready to serve
``serving``         what runs? one process that serves, or one of several, or their parent
``service``         the same as twistd knows it
``tap`` ``cli``     what ``twistd mtlsedge`` and ``mtlsedge`` run
``pki_cli``         ``mtlsedge pki``, command by command
``check`` ``demo``  what a configuration would do; how it looks
``explain``         why is a request answered as it is?
``replay``          what would another configuration have decided?
==================  ==========================================================================
"""

__version__ = "0.1.0"
