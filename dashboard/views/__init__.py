"""The pages: each shows one thing, from the snapshot and the filters that it is given."""
