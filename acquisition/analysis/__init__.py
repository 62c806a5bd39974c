"""What the measured frames and spectra say: drift, interface, focus, composition profiles and their uncertainties."""
