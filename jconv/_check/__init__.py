"""What a call means, from its shapes and settings alone, or why it means nothing."""
