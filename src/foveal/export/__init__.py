"""Other people's layouts of a classifier."""
