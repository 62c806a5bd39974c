"""What holds, moves and cools the sample, and what comes of that: drift and ice."""
