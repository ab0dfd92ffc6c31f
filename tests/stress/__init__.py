"""Attacks on the library: seeded programs whose count is a parameter, each in a module with ``run(count, seed)``."""
