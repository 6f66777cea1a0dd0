"""How does a request reach the origin? Parsers, headers, exchanges, the pool, the tunnel."""
