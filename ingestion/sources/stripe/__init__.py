"""Stripe's reports and Checkout Sessions as landed files: versions, columns, rules, and the spans they cover.

Downloading them from Stripe belongs to `ingestion/stripe_pull/`.
"""
