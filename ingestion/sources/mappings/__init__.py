"""Mapped sources: other systems' exports that become ledger entries, each by a YAML file in `shipped/` or in
the home's `mappings/`.

What a mapping says is data (`mapping.schema.json`, docs/mappings.md); this package turns it into SQL. Code
for a single source does not belong here.
"""
