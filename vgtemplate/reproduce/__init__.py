"""From claims to results: plan the arms, run what has no record yet, judge."""
