"""The pull API: slices of the published file and the export tree over HTTP, for tokens with a scope.

One request is answered from one publication, read-only. What a token may not see is removed before anything
is counted, summed, hashed or written (`scope`).
"""
