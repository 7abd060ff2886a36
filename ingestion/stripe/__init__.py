"""Stripe: its reports as files, however they came (contract 2.4, `sources/stripe.md`), and the pull that fetches them."""
