"""What was done and measured: engine, journal, dose, the data file, analysis."""
