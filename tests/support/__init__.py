"""Helpers that tests share: certificates, edges, origins and clients."""
