"""Signatures that stand for a key in an address: of a stored file, of a part of an upload."""

from __future__ import annotations

from contextlib import suppress

from django.core.signing import BadSignature, Signer


def sign(what: str, *fields: str) -> str:
    """Over all of them; what it is of one address is not of another kind's."""
    return _signer(what).signature(_value(fields))


def is_signed(what: str, *fields: str, signature: str) -> bool:
    """Also by a SECRET_KEY that was replaced, while it is a fallback: addresses are out, in pages and in webhooks."""
    value = _value(fields)
    with suppress(BadSignature):
        return _signer(what).unsign(f"{value}:{signature}") == value
    return False


def _signer(what: str) -> Signer:
    return Signer(salt=f"projects.{what}")


def _value(fields: tuple[str, ...]) -> str:
    return "\n".join(fields)
