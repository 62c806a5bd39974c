"""What nature does: units, dose, cross-sections, X-ray lines, materials, damage, ice and liquid nitrogen."""
