"""``gaitkeeper rehearse``: recorded (or generated) timings played into the login, in process or through a real browser."""
