"""What users write: the custom resources and the annotations. The only package with pydantic in it."""
