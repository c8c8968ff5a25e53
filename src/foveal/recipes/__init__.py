"""The story: prepare, fit, judge, ship. Only here do the four crafts meet."""
