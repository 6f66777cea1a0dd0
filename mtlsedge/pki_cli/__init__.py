"""How is a certificate authority run from a terminal? ``mtlsedge pki``, one class a command.

Standard output is for data (a list, a CRL with ``-o -``); what was done, and what should be said
about it, goes to standard error, so that a command can stand in a pipe where cfssl stood.
"""
