"""Codes of the plan language: files, YAML, DSL, variables, `--set`."""

from __future__ import annotations

from growplan.diagnostics.codes import Code

CODES = {
    "GP001": Code(
        "A plan file cannot be read.",
        "Nothing can be compiled from a file that is missing, a folder, or closed to you.",
        "Check the path; it is relative to the working directory, or to the file that names it.",
    ),
    "GP002": Code(
        "A plan file is not UTF-8 text.",
        "Guessing an encoding could change a path or an arrow without a word.",
        "Save the file as UTF-8.",
    ),
    "GP003": Code(
        "A plan file holds a control character, or a line break other than a newline.",
        "It is invisible, readers and editors disagree on it, and it is a sign that the file is not text.",
        "Remove the character, or name the right file.",
    ),
    "GP004": Code(
        "A plan file is larger than 1 MiB.",
        "A plan is a page; a megabyte is a checkpoint or a mistake, and would be slow to refuse later.",
        "Name the plan, not the model.",
    ),
    "GP005": Code(
        "The file is not YAML, or is nested deeper than any plan.",
        "The rest of the file cannot be understood once its structure is lost.",
        'Put quotes around scalars that hold `: `, ` #`, `{` or `[`; in `{...}`, write `"${name}"`.',
    ),
    "GP006": Code(
        "A line is indented with a tab.",
        "YAML forbids tabs in indentation: their width is not defined.",
        "Indent with spaces.",
    ),
    "GP007": Code(
        "A key, header or option stands twice.",
        "Most YAML readers silently keep the last one; which one you meant is unknown.",
        "Remove one of the two.",
    ),
    "GP008": Code(
        "A key that plans do not have.",
        "A misspelt key that is ignored is a plan that does something else than it says.",
        "Correct the spelling; a key of your own at the top of a plan begins with `x-`.",
    ),
    "GP009": Code(
        "An unquoted value that YAML readers disagree on, such as `off`, `012`, `12:30` or `~`.",
        "YAML 1.1 makes booleans, octal or base-60 numbers, dates or nothing of such words.",
        'Write `false` or `true`, write the number in decimal, or put the word in double quotes: `"off"`.',
    ),
    "GP010": Code(
        "A YAML tag (`!!int`, `!include`).",
        "Values are read as text, and tags can run code in other readers.",
        "Write the plain value.",
    ),
    "GP011": Code(
        "A YAML anchor or alias (`&name`, `*name`).",
        "Aliases can make a small file expand without bound, and hide where a value was written.",
        "Name the value under `vars:` and write `${name}`.",
    ),
    "GP012": Code(
        "A second YAML document in one file.",
        "One file is one plan.",
        "Split the file at `---`.",
    ),
    "GP013": Code(
        "A list where a mapping belongs, a mapping where a value belongs, or nothing at all.",
        "A plan has keys with one value each, `steps`, a list of lines and flat mappings, or `stages`, a "
        "list of mappings with `name`, `steps` and `train`.",
        "Write the shape that the message names.",
    ),
    "GP014": Code(
        "A version of the plan language that this growplan does not know.",
        "A later version may mean something else by the same words.",
        "Write `growplan: 1`, or install the growplan that the plan was written for.",
    ),
    "GP020": Code(
        "A DSL statement with a word that does not fit.",
        "See grammar/plan.lark: `[ID:] VERB AXIS [SIZE] [via METHOD] {, OPTION VALUE}`; of stages "
        "`stage NAME`, `train [on PATH] [for N steps] {, OPTION VALUE}`, `freeze PART {, PART}`, "
        "`train-only PART {, PART}`.",
        "Write one of the things that the message expects.",
    ),
    "GP021": Code(
        "A statement that begins with no known verb or header.",
        "The first word decides how the rest is read.",
        "Begin a step with widen, stack, deepen, mask-in, grow or upcycle, what belongs to a stage with "
        "stage, train, freeze or train-only; headers have no colon in the DSL.",
    ),
    "GP022": Code(
        "A double quote that is never closed.",
        "Quoted text ends on the line it began.",
        'Close it; write `\\"` for a quote inside.',
    ),
    "GP023": Code(
        "A number out of range.",
        "Sizes begin at 1, factors at 2, and none is beyond what a checkpoint can hold.",
        "Write a number in the range that the message names.",
    ),
    "GP024": Code(
        "A value that its key does not take.",
        "Sizes are whole numbers, methods and axes are words, `expect` is exact, approximate or none.",
        "Write a value of the kind that the message names.",
    ),
    "GP025": Code(
        "A mapping step without a verb, with two, or with a key that its verb does not take.",
        "A mapping step is `{VERB: AXIS, ...}`; `grow` takes a mapping of axes, `upcycle` needs `experts`.",
        "Write the form that the message names, or the step as a line.",
    ),
    "GP026": Code(
        "Sizes that contradict each other, or an old size alone.",
        "A growth is a new size or a factor, not both.",
        "Keep `to` or `by`; add the new size to `from`.",
    ),
    "GP031": Code(
        "Two steps of one file with the same id, or a stage with the name of another or of a step.",
        "`--set`, `extends` and `growplan diff` find steps by id, and stages by name.",
        "Rename one.",
    ),
    "GP032": Code(
        "An id that a step, or a name that a stage, cannot have.",
        "Both are letters, digits, `_` and `-`, and no word of the language.",
        "Choose another.",
    ),
    "GP033": Code(
        "A `${name}` without a variable of that name, or without its end.",
        "Leaving it as it stands would make a path or a size that you did not mean.",
        "Add the variable under `vars:`; write `$${` for the characters themselves.",
    ),
    "GP034": Code(
        "A variable that is not one plain value.",
        "Variables are replaced once, in one pass, so that nothing can expand without bound.",
        "Write a word or a number.",
    ),
    "GP035": Code(
        "A plan extends a file that cannot be read, or itself.",
        "Without its parent the plan is not complete.",
        "Correct the path, which is relative to the file that says `extends`; break the circle.",
    ),
    "GP036": Code(
        "A `--set` that is not KEY=VALUE.",
        "`--set` changes one value of a parsed plan.",
        "Write `--set ID.to=1024`, `--set seed=3` or `--set vars.NAME=VALUE`.",
    ),
    "GP037": Code(
        "A `--set` for a step or key that the plan does not have.",
        "A setting that hits nothing would be silently lost.",
        "Use a step's id (`growplan show PLAN --as table` lists them) and a key that it takes.",
    ),
    "GP039": Code(
        "A plan without steps and without stages.",
        "There is nothing to grow; most often the steps stand under a misspelt key.",
        "Add a step.",
    ),
    "GP040": Code(
        "A YAML plan that the DSL cannot say.",
        "The DSL has no `vars:`, no `${name}` and no keys of your own; dropping them would lose them.",
        "Keep the plan in YAML, or remove the key.",
    ),
    "GP041": Code(
        "A key that belongs to another verb.",
        "`over` is the ramp of a mask: only `mask-in` has one.",
        "Remove the key, or use the verb that has it.",
    ),
    "GP043": Code(
        "Steps outside of the stages of a plan that has stages.",
        "A plan is a list of steps or a list of stages: when such steps would run is not said.",
        "Move the steps into a stage (in the DSL, below its `stage NAME`), or do without stages.",
    ),
    "GP044": Code(
        "A stage without a name, or a part of one (`train`, `freeze`, `train-only`) without a stage.",
        "A name is how `--stage`, `--set` and `growplan diff` find a stage; training happens in stages.",
        "Write `- name: NAME` (`stage NAME` in the DSL), and what belongs to the stage with it.",
    ),
    "GP045": Code(
        "The length of a training that cannot be read.",
        "How long a stage trains decides what it costs, and when its masks must be gone.",
        "Write `for: 300 steps` or `for: 2M tokens` (k, M, G and B are thousands, millions, billions).",
    ),
    "GP046": Code(
        "A step below the `train` of its stage, in the DSL.",
        "A stage grows first and is trained then; most often a line `stage NAME` is missing between the two.",
        "Begin a new stage above the step, or move the step above `train`.",
    ),
    "GP047": Code(
        "A word of `freeze` or `train-only` that can be no part of a model.",
        "A part is `new-layers`, `top N`, `layers A:B`, `embeddings`, `head`, `all`, or a pattern of names.",
        "Write one of these; a pattern has a `.`, `*` or `?`, such as `*.attn.*`.",
    ),
    "GP048": Code(
        "`freeze` or `train-only` in a stage that is not trained.",
        "A stage without `train` only grows, unless the plan's own `train` has a length.",
        "Add a `train` to the stage, or remove the key.",
    ),
}
