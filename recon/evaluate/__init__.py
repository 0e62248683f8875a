"""The judge of a run: protocol, views, joints and truth, scoring, scores, metrics; and the same run scored again."""
