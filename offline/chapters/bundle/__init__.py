"""The chapters "Model bundle" and "Model card": what leaves the report to be used, and what its users should know."""
