"""What follows from shapes alone: plans, their tables and pictures, and the inverse questions."""
