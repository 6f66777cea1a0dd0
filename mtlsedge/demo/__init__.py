"""How does it look? A demonstration on this machine: ``python -m mtlsedge.demo``.

``files`` makes a small PKI and a configuration, ``origin`` is the server behind the edge,
``walk`` the commands to try, and ``__main__`` runs the edge as operators do, with ``twistd``.
"""
