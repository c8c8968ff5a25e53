"""Numbers with intervals, and the report: from `Predictions` alone, whoever made them."""
