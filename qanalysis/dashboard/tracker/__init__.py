"""Page Precision tracker: rules replayed over recorded statistics."""
