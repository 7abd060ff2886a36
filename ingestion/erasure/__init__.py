"""Erasing a person: the id gives way to a pseudonym wherever it is kept, and wherever it comes back."""
