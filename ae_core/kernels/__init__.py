"""The integer network: its definition, its fast form, its bounds."""
