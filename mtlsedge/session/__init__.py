"""Tokens: signing keys, the JWTs made with them, and the cookie that carries one."""
