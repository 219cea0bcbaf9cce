"""RunPod as its clients see it: REST v2, GraphQL, and a v1 that is gone."""
