"""GP6xx: the command line, diff and git."""

from __future__ import annotations

from growplan.diagnostics.codes import Code

CODES = {
    "GP601": Code(
        what="`growplan diff` with a revision was run outside a git repository, or git is missing.",
        why="A revision such as `HEAD~1` is looked up by git itself.",
        fix="Run it inside the repository, or name two files: `growplan diff OLD NEW`.",
    ),
    "GP602": Code(
        what="What `growplan diff` was given is neither a file nor a revision that git knows.",
        why="The old side of a diff must be readable.",
        fix="Check the spelling with `git log`, or fetch the revision first.",
    ),
    "GP603": Code(
        what="The plan does not exist in the revision that was named.",
        why="Nothing can be compared with a file that was not there yet (or has another name there).",
        fix="Name the file as it was called then: `growplan diff REV:OLD-NAME NEW-FILE`.",
    ),
    "GP604": Code(
        what="`growplan new` or `growplan fmt` would overwrite or cannot write a file.",
        why="A starter plan never replaces a file, and a formatted plan is written as a whole or not at all.",
        fix="Choose another name with `--out`, or make the file writable.",
    ),
    "GP605": Code(
        what="There is no grown model's record (`growth.json`) to read, or it is not readable.",
        why="`growplan log` and `growplan verify` read what `apply` recorded beside the weights.",
        fix="Name a directory that `growplan apply` wrote.",
    ),
    "GP637": Code(
        what="A command needs torch or transformers, which are not installed.",
        why="Plans are checked and compared without them; weights are read and written by them.",
        fix="Install them: `pip install 'growplan[torch]'`.",
    ),
    "GP620": Code(
        what="The plan's sizes could not be made small enough for a toy.",
        why="`growplan toy` divides an axis by a common divisor of all the sizes it has in the plan, so that "
        "ratios and residues survive; sizes without one stay as large as they are.",
        fix="Choose sizes with a common divisor, such as multiples of 64, or apply the plan itself.",
    ),
    "GP621": Code(
        what="At toy scale a step is proved to be something else than in the plan.",
        why="A toy stands for its plan only while the checker says the same of both.",
        fix="This is a bug in growplan, please report it; `check` and `apply` do not depend on toys.",
    ),
}
