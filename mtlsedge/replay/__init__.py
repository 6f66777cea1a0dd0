"""What would another configuration have decided? ``mtlsedge replay``, the dry run before a reload.

What the access log has of each request is put to the edge's own policies. The log is not
everything: where a rule asks for more, the answer is "cannot tell", never a guess::

    logged     values: what a line says
    grounds    what is known of a client by its line, and what is taken as given
    judging    a line under another configuration: decisions that are possible
    tally      what changes, grouped
    text       the same for people
    command    ``mtlsedge replay`` itself
"""
