"""Numbers of bytes in readable form."""

UNIT = 1000


def size(length: int) -> str:
    """Return a number of bytes as text, such as `12.3 MB`."""
    value, name = float(length), "B"
    for larger in ("kB", "MB", "GB"):
        if value < UNIT:
            break
        value, name = value / UNIT, larger
    return f"{length:,} B" if name == "B" else f"{value:,.1f} {name}"
