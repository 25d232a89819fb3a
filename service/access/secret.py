"""The text of a key, and how the service stores and compares its secret."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

_SALT_BYTES = 16
_SECRET_BYTES = 32
ID = slice(3, 15)
"""The part of a key's text that is its public id."""
_KEY = re.compile(rb"ev_[0-9a-f]{12}_[0-9a-f]{64}")


@dataclass(frozen=True)
class Minted:
    """A new key: its `text` is shown once, `salt` and `hash` are stored."""

    id: str
    text: str
    salt: bytes
    hash: bytes


def mint(key_id: str | None = None) -> Minted:
    """Return a key with a new secret, under a new id unless one is given."""
    key_id = key_id or secrets.token_hex(6)
    secret = secrets.token_hex(_SECRET_BYTES)
    salt = secrets.token_bytes(_SALT_BYTES)
    return Minted(key_id, f"ev_{key_id}_{secret}", salt, _hash(salt, secret.encode()))


def is_well_formed(presented: bytes) -> bool:
    """Return whether a text has the form of a key."""
    return _KEY.fullmatch(presented) is not None


def matches(presented: bytes, salt: bytes, expected: bytes) -> bool:
    """Return whether the secret of a key has this hash, in constant time."""
    return hmac.compare_digest(_hash(salt, presented[16:]), expected)


def _hash(salt: bytes, secret: bytes) -> bytes:
    # Nobody guesses 256 random bits, however fast the hash: a slow one, as for passwords, would only slow heartbeats.
    return hashlib.sha256(salt + secret).digest()
