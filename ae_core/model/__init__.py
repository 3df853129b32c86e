"""The autoencoder and its context model: training and freezing."""
