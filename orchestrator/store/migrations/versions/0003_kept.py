"""Runs may be kept and leases handed over: no table changes, but an older version reads neither."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """The number alone: it stops whoever does not know these states."""
