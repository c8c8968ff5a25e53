"""Training a whole network: the loop, what it is fed, how it is saved. The one place for torch."""
