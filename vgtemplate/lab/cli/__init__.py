"""The laboratory's commands."""

COMMANDS = {
    "reproduce": ("vgtemplate.lab.cli.reproduce", "judge the claims over ten seeds and print the verdicts"),
    "tune": ("vgtemplate.lab.cli.tune", "search the settings that claims leave open, on tuning seeds"),
    "stability": ("vgtemplate.lab.cli.stability", "judge the claims on other seeds: which verdicts change?"),
    "verdicts": ("vgtemplate.lab.cli.verdicts", "keep a run's verdicts, compare them with other machines'"),
    "report": ("vgtemplate.lab.cli.report", "write the report of what has a record"),
    "claims": ("vgtemplate.lab.cli.claims", "list the claims"),
}
"""By name: the module, and what the command does; imported when it is called."""
