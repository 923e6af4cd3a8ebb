"""A real broker, schema registry and Kafka Connect on this machine, from a Python environment alone."""
