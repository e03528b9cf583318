"""Networks as plain modules; `build.create_model` makes them from specs and names."""
