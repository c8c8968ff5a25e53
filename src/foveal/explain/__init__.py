"""Where a model looked, for networks whose graph cannot say it itself."""
