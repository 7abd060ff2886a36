"""Ages in readable form."""

from datetime import timedelta


def ago(age: timedelta) -> str:
    """Return how long ago something was, in its largest unit, such as `2 hours ago`."""
    seconds = int(age.total_seconds())
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            number = seconds // length
            return f"{number} {unit}{'s' if number > 1 else ''} ago"
    return "just now"
