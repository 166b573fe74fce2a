"""Measurements. Figures depend on the machine; what is compared is measured in one run."""
