"""The nouns: events, customers, journeys, actions, problems. No I/O, no clock; every layer may import them."""
