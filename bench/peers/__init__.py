"""What a user would write or pick instead, each a program of its own: ``python -m bench.peers.NAME LAKE``."""
