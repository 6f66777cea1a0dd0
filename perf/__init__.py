"""The load-test harness: what one operation costs a server's CPU, against its peers.

    cli (what to measure) -> rounds (in which order) -> load (drive, in a process of its own)
    catalogue (which servers, from peers/) -> process (start, pin, stop), proofs (are they alike?)
    cpu, stats (figures) -> report (table, JSON)

It imports nothing of mtlsedge: the edge is started and measured as any other server is.
"""
