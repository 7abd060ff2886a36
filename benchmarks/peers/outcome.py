"""What a peer says at its end; imports nothing, since it counts as part of the peer."""

import json


def progress(seconds: float, rows: int) -> None:
    """The seconds of the work alone, without the interpreter's and the imports', and how many rows there are
    afterwards.
    """
    print(json.dumps({"seconds": seconds, "rows": rows}))
