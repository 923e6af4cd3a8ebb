"""Random journeys, as authors could have written them, under random logs: what must hold whatever they say."""
