"""Events that come in over HTTP: from services that do not speak Kafka, and from providers that delivered messages."""
