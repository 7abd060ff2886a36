"""What model providers bill (`bills/`): their formats, as lines with exact amounts, and the files that state
how bills are compared with the ledger.

They are specified in docs/contract.md#29-provider-bills.
"""
