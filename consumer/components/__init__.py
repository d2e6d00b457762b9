"""The consumer's parts: one idea each."""
