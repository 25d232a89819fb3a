"""What a key looks like, and how its secret is kept and compared."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

_SALT_BYTES = 16
_SECRET_BYTES = 32
ID = slice(3, 15)
"""Where the public part stands in a key."""
_KEY = re.compile(rb"ev_[0-9a-f]{12}_[0-9a-f]{64}")


@dataclass(frozen=True)
class Minted:
    """A new key: `text` is shown once, `salt` and `hash` are stored."""

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


def looks_right(presented: bytes) -> bool:
    """Return whether this may be a key: only such a one is ever looked up."""
    return _KEY.fullmatch(presented) is not None


def fits(presented: bytes, salt: bytes, expected: bytes) -> bool:
    """Return whether the secret of a key has this hash, in a time that tells nothing about it."""
    return hmac.compare_digest(_hash(salt, presented[16:]), expected)


def _hash(salt: bytes, secret: bytes) -> bytes:
    # 256 random bits cannot be guessed however fast they are tried: what makes hashing a password slow would only make
    # every heartbeat slow.
    return hashlib.sha256(salt + secret).digest()
