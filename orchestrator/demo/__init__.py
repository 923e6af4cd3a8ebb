"""The demonstration: a shop's clickstream as typed events, sent through the journeys on an embedded broker."""
