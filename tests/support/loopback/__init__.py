"""What the servers on loopback share: starting one in this process, and the faults that meet a request."""
