"""Why would this request be answered as it is? ``mtlsedge explain``.

The edge's own code is run, from the server name to the header lines that the origin would get,
and asked what it did::

    asked      what is asked: a URL, a certificate, an address, a moment
    past       or a line of the access log that has most of that
    stage      a configuration, assembled as the edge does it, with nobody behind it
    visitor    a client at it: what a connection and its request would be to the edge
    account    values: everything that was found
    rehearsal  a question on the stage: handshake, identity, request, decision, answer
    hearing    what verifiers said
    chains     what was found about the certificate
    ruling     what was found about path, application, policies and rules
    text       the account for people
    command    ``mtlsedge explain`` itself
"""
