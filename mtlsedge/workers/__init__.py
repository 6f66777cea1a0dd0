"""Who keeps the worker processes going? Forking, messages, replacing those that die.

Nothing here knows what a worker does: it is handed a function, and the names of orders.

==============  ==============================================================================
``channel``     packets between the parent and one worker, and the descriptors they carry
``payload``     what is too large for a packet: written once, read by every worker
``forking``     how a worker begins: a process with nothing of its parent's event loop
``logs``        a worker's log, told to the parent, which alone writes
``orders``      the worker's end: orders in, answers out
``hand``        the parent's end: one worker, from its fork to its exit status
``backoff``     how soon a worker that died is replaced
``supervisor``  all of them
==============  ==============================================================================
"""
