"""What else a trained autoencoder gives: here, how its previews compare with simpler ones."""
