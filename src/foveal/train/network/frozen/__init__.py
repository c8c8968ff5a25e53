"""The frozen part: stages that do not learn answer the same every epoch, so they run once."""
