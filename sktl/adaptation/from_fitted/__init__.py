"""What adaptation that goes on from a fitted model shares: the start, the target's rows, the estimators' base."""
