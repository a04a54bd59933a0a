"""Full-text search over what was recorded: an index that is made on request, brought up to date, and asked."""
