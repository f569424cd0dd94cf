"""A night in fifteen minutes: a real show, real viewers, and everything that goes wrong in a club, again and again."""
