"""Entry points of the project, run from its root; a launcher only chooses values and calls one."""
