"""The embedded stack: a real broker and schema registry on this machine, from a Python environment alone."""
