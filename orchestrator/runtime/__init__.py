"""The shell around the engine: Kafka, RocksDB, clock, Prometheus. It decides nothing about customers."""
