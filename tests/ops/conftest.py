"""A PostgreSQL of our own, as tests/credits has it."""

from tests.credits.conftest import postgresql

__all__ = ["postgresql"]
