"""The embedded model: Skeleton-of-Thought against one answer after another, and against the fastest other engine."""
