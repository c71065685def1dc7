"""Which algorithm runs a leg, and what the user lets the planner choose from."""
