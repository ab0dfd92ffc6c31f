"""Training over many tasks: episodes, encoders, methods, and the learners' base."""
