"""FHIR in: prefetch, and R4 JSON read into facts. Lenient with what others send."""
