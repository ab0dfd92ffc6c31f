"""Learners whose tasks train a network by gradients: MAML, Reptile, the meta-learned LSTM."""
