"""The checks before publication: their results, and the decision whether a build may be published.

Queries over the built tables belong here. Nothing here builds or publishes.
"""
