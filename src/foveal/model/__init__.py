"""Features, heads, classifier, bundle and predictor: all of it runs without torch."""
