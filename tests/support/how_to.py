"""The JSON files of Cloudflare's how-to on client certificates, with the keys that it has."""

from __future__ import annotations

from typing import Any

CA_CSR: dict[str, Any] = {
    "CN": "Access Testing CA",
    "key": {"algo": "rsa", "size": 4096},
    "names": [{"C": "US", "L": "Austin", "O": "Access Testing", "OU": "TX", "ST": "Texas"}],
}
CA_CONFIG: dict[str, Any] = {
    "signing": {
        "default": {"expiry": "8760h"},
        "profiles": {
            "server": {
                "usages": ["signing", "key encipherment", "server auth"],
                "expiry": "8760h",
            },
            "client": {
                "usages": ["signing", "key encipherment", "client auth"],
                "expiry": "8760h",
            },
        },
    }
}
CLIENT_CSR: dict[str, Any] = {
    "CN": "James Royal",
    "hosts": [""],
    "key": {"algo": "rsa", "size": 2048},
    "names": [{"C": "US", "L": "Austin", "O": "Access", "OU": "Access Admins", "ST": "Texas"}],
}
