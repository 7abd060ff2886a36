"""What all pulls share, whatever they pull from: spans, the timing and repetition of requests, sidecars, and
the notes of pulls that failed.
"""
