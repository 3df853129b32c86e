"""What was lost: certificates and pages."""
