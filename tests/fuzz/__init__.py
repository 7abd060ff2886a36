"""Fuzzing of every parser: the targets, the corpus that found something, and the fuzzer that `make fuzz`
starts.
"""
