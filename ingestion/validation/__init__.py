"""How a record is validated: exact money, time and count macros, rules, reject codes, fields out of JSON.

It is the lowest package of this room and imports no other. The rules of one source belong to
`ingestion/sources/`, reading a file's text to `ingestion/readers/`.
"""
