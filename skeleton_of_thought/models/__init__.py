"""Doors to real models: any OpenAI-compatible endpoint, and the embedded engine."""
