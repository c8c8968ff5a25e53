"""What a run remembers, on a disk that may fail: nothing of it is lost, nothing is taken for it."""
