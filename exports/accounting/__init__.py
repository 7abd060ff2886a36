"""The journal as files that accounting programs import: hledger, Xero, QuickBooks.

`journal` reads the lines, `rounding` rounds them to what a ledger can hold, `accounts` names them, and a
module for each program writes them.
"""
