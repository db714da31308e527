"""``gaitkeeper demo``: writes the settings of three processes, seeds a labelled synthetic person, runs and stops them."""
