"""How much of a limit is one worker's? Limits are the edge's; so each worker takes its part."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from mtlsedge.model import Configuration, Host


@dataclass(frozen=True, slots=True)
class Share:
    """The place of one worker, from 0, among so many."""

    place: int = 0
    workers: int = 1

    def of(self, limit: int) -> int:
        """Its part of a limit, at least 1: the parts add up to it, where it is not too small."""
        whole, rest = divmod(limit, self.workers)
        return max(1, whole + (self.place < rest))

    def of_all(self, configuration: Configuration) -> Configuration:
        """A configuration in which the limits on connections are this worker's part of them."""
        if self.workers == 1:
            return configuration
        edge = configuration.edge
        limits = replace(edge.limits, connections=self.of(edge.limits.connections))
        hosts = tuple(map(self._of_host, configuration.hosts))
        return replace(configuration, edge=replace(edge, limits=limits), hosts=hosts)

    def _of_host(self, host: Host) -> Host:
        limits = host.limits
        share = replace(limits, origin_connections=self.of(limits.origin_connections))
        return replace(host, limits=share)


def worker_count(workers: int) -> int:
    """How many processes serve, where the operator wrote ``workers``: 0 is one per CPU of ours."""
    return workers or len(os.sched_getaffinity(0))
