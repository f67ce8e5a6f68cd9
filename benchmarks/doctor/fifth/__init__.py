"""The fifth zoo: what ordinary people get wrong, and get right, in ordinary small trainings."""
