"""The laboratory's commands."""

COMMANDS = {
    "reproduce": ("vgtemplate.lab.cli.reproduce", "judge the claims over ten seeds and print the verdicts", "judge"),
    "claims": ("vgtemplate.lab.cli.claims", "list the claims", "judge"),
    "report": ("vgtemplate.lab.cli.report", "write the report of what has a record", "judge"),
    "tune": ("vgtemplate.lab.cli.tune", "search the settings that claims leave open, on tuning seeds", "judge"),
    "stability": ("vgtemplate.lab.cli.stability", "judge the claims on other seeds: which verdicts change?", "judge"),
    "verdicts": ("vgtemplate.lab.cli.verdicts", "keep a run's verdicts, compare them with other machines'", "judge"),
}
"""By name: the module, what the command does, and its group; imported when it is called."""

EXAMPLES = {
    "reproduce": ("vgt reproduce", "vgt reproduce relu-keeps-gradient", "vgt reproduce --article bn-relu --seeds 3"),
    "claims": ("vgt claims",),
    "report": ("vgt report", "vgt report --dataset digits --no-tracking"),
    "tune": ("vgt tune elu-converges-faster --dataset digits",),
    "stability": ("vgt stability --axes seeds,width",),
    "verdicts": ("vgt verdicts compare",),
    "verdicts save": ("vgt verdicts save",),
    "verdicts compare": ("vgt verdicts compare", "vgt verdicts compare theirs.json"),
    "verdicts table": ("vgt verdicts table docs/verdicts/mnist-amd-epyc-avx2.json",),
    "verdicts draw": ("vgt verdicts draw docs/verdicts/mnist-amd-epyc-avx2.json verdicts.png",),
    "verdicts fill": ("vgt verdicts fill docs/verdicts.md",),
}
"""By name: what its --help shows."""
