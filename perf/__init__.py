"""The load-test harness: what one operation costs a server's CPU, against its peers.

    cli (what to measure) -> rounds (in which order) -> load (drive, in a process of its own)
    catalogue (which servers, from peers/) -> process (start, pin, stop), proofs (are they alike?)
    loops, transfer (bulk, sink), idle: what drives handshakes, requests, transfers, idle ones
    connections (memory), scale (estate): commands with rounds of their own
    cpu, memory, stats, units (figures) -> report, outcome, charts (tables, JSON, HTML)

It imports nothing of mtlsedge: the edge is started and measured as any other server is.
"""
