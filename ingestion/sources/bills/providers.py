"""TEMP."""


def provider_aliases() -> dict[str, str]:
    """Return the shipped names of providers, in lower case, and the provider that each means."""
    return {"vertex_ai": "google", "gemini": "google"}
