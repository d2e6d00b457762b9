"""What the producer, the consumer and the cleaner share: record shape, rules, settings, locations."""
