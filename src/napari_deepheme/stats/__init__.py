"""What the predictions mean: uncertainty, calibration, the differential. Pure numpy."""
