"""Networks that learn from your pictures: fine-tuned, from scratch, or as val prefers."""
