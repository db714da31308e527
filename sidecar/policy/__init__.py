"""Declarative policy: parse and type-check a YAML file (``language``), then decide over facts (``evaluate``).

Pure: a policy and facts in, a verdict out. ``expressions`` is the only importer of the CEL library.
"""
