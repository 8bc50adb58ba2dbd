"""The documentation of the API: Swagger UI over the OpenAPI document, samples of code, and a page without scripts."""
