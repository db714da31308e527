"""From evidence to facts: what behaviour says about one login (``judge``), and how likely an impostor is (``fusion``)."""
