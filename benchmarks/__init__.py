"""Side-by-side timings against other ways to do the same work; nothing here is imported by the package."""
