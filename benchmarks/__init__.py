"""Speed, as ratios to a reference measured in the same run. Not part of the test suite."""
