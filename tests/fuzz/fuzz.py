"""The coverage-guided fuzzer of one target: `python -m tests.fuzz.fuzz TARGET [options of libFuzzer]
FOLDER…`.
"""

import atexit
import sys

import atheris

with atheris.instrument_imports(include=["ingestion", "paywall_warehouse"]):
    from tests.fuzz.targets import target

if __name__ == "__main__":
    fuzzed = target(sys.argv.pop(1))
    atexit.register(fuzzed.flush)
    atheris.Setup(sys.argv, fuzzed.take)
    atheris.Fuzz()
