"""A deterministic simulation of the real protocol code: many writers, one schedule a seed, every fault by chance."""
