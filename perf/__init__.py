"""The load-test harness: what one operation costs a server's CPU, against its peers.

    cli -> options, commands (what to measure) -> rounds (in which order) -> load (drive, in a
    process of its own)
    catalogue (which servers, from peers/) -> process (start, pin, stop), proofs (are they alike?)
    turns: whose turn it is, of many paths and clients
    loops, transfer (bulk, sink), idle: what drives handshakes, requests, transfers, idle ones
    ab, s_time (programs): others in the load's place; agreement: do they say the same?
    connections (memory), scale (estate): commands with rounds of their own
    verifiers: the edge with one, as a peer of the edge without
    everything: all runs that have a target, and which targets are met
    cpu, memory, stats, units (figures) -> report, outcome, charts (tables, JSON, HTML), progress

It imports nothing of mtlsedge: the edge is started and measured as any other server is, and
``peers/at_once.py`` is what the edge's own process imports.
"""
