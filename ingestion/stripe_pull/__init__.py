"""The pull from Stripe's API: it lands reports and Checkout Sessions.

The columns and rules of the landed files belong to `ingestion/sources/stripe/`, and retrying a whole pull to
`orchestration/`.
"""
