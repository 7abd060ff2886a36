"""The pull from Stripe's API: it lands reports and Checkout Sessions, and notes the sources that failed.

The columns and rules of the landed files belong to `ingestion/sources/stripe/`, and retrying a whole pull to
`orchestration/`.
"""
