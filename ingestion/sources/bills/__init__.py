"""Provider bills: their formats, rules and names."""
