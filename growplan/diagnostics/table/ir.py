"""GP24x-GP29x: the IR, its text, and what its verifier finds."""

from __future__ import annotations

from growplan.diagnostics.codes import Code

_BUG = "A plan that checks lowers to a graph that verifies; if `growplan` made this graph, report it."

CODES = {
    "GP240": Code(
        what="Slices of a tensor are not those that the method names: other maps, shares or places.",
        why="A method that preserves nothing is held to its provenance: every block is one of the source.",
        fix="Expand both tensors by the law's maps with even shares, then `graft` the slices of the law.",
    ),
    "GP241": Code(
        what="Slices are taken from another tensor than the same one in the layer above.",
        why="AKI's new units are units of the next layer; those of any other layer are another method's.",
        fix=_BUG,
    ),
    "GP250": Code(
        what="A `growir` text does not follow the grammar (grammar/growir.lark).",
        why="The text is the graph: what does not parse means nothing.",
        fix="Look at the expected words in the message; `growplan show PLAN --as ir` prints valid text.",
    ),
    "GP251": Code(
        what="A `growir` text names a tensor, a value or a map that is not defined.",
        why="Every value is read from disk or made by a primitive before it is used.",
        fix="Check the spelling. A bare name is a tensor of the model before the step, `%name` is a value.",
    ),
    "GP252": Code(
        what="A `growir` text defines the same tensor, value or map twice, or a value by itself.",
        why="The graph is in single-assignment form: one name, one value, and no cycles.",
        fix="Rename one of the two.",
    ),
    "GP255": Code(
        what="A graph is no graph: a value is read before it is made, defined twice, or never stored.",
        why="The executor runs values in order and stores the last model, whole.",
        fix=_BUG,
    ),
    "GP256": Code(
        what="A primitive does not fit its inputs, or gives another shape or dtype than is declared.",
        why="All shapes are known before any byte is read; files are laid out from them.",
        fix=_BUG,
    ),
    "GP260": Code(
        what="Slices of a tensor are never written, or are read before they are.",
        why="A hole would be stored as whatever memory held.",
        fix="Fill every hole by exactly one of `ln_average`, `zero_out` and `fresh`.",
    ),
    "GP261": Code(
        what="Slices that already hold something are written again.",
        why="Old knowledge would be lost without a word; only a whole tensor may be silenced.",
        fix="Fill each hole once. To silence a projection, `zero_out` all of it.",
    ),
    "GP262": Code(
        what="A tensor is made from something other than the tensor that its law names.",
        why="The law compares a tensor with its source before the step, and nothing else may flow in.",
        fix=_BUG,
    ),
    "GP263": Code(
        what="`ln_average` fills a tensor with means of slices of another tensor.",
        why="A mean row is the mean of the old rows of the same tensor.",
        fix="Give it the old tensor, gathered along its other dimensions as the new one is.",
    ),
    "GP264": Code(
        what="Rows of a tensor are not E_out times the old rows.",
        why="Then the axis that the tensor writes is not the expansion that its readers expect.",
        fix="Compare the map and the coefficients of `duplicate_row` with the law's rows.",
    ),
    "GP265": Code(
        what="The columns of a tensor do not undo the expansion of its input: D . E_in is not I.",
        why="The copies of a unit must add up to the unit, or the output changes.",
        fix="Divide by the number of copies (`even`), or draw shares over the same map (`uneven`).",
    ),
    "GP266": Code(
        what="A null term stands on columns whose input is not zero: N . E_in is not 0.",
        why="Fresh columns add noise to the output unless what they read is zero.",
        fix="Zero the columns that read free or mean inputs.",
    ),
    "GP267": Code(
        what="A step changes a tensor and no law says how.",
        why="What no law covers is not checked when the plan runs.",
        fix="Give the tensor a law, or a provenance where nothing is preserved.",
    ),
    "GP268": Code(
        what="A law does not fit its tensor: another size, a dimension that is not there, a hole.",
        why="A law that speaks of another shape proves nothing.",
        fix=_BUG,
    ),
    "GP269": Code(
        what="A tensor comes from another layer or name than its copies say, or without one.",
        why="A reader of the text follows `copy_layer` and `copy_tensor`; they must be the truth.",
        fix="Name the source and the target layer of the tensor.",
    ),
    "GP270": Code(
        what="Two tensors draw numbers by the same key, or one is filled with what was measured for another.",
        why="The generator is keyed by (key, element): both would get the same numbers. A data leaf is "
        "measured for one tensor of one step.",
        fix="Put the step and the tensor in the key, or in the leaf's name.",
    ),
    "GP271": Code(
        what="A tensor that should be bit-equal to a source tensor is changed on the way.",
        why="Where nothing is preserved, provenance is what is asserted when the plan runs.",
        fix="Only copies may stand between the two, and the `resample` that the claim names.",
    ),
    "GP272": Code(
        what="A pass changed what is stored.",
        why="Passes may change how a tensor is made, never what it is.",
        fix="This is a bug of the pass named in the message: report it with the plan.",
    ),
    "GP275": Code(
        what="A norm of a learned step is not what its law says.",
        why=(
            "Beside a general operator a norm's scale and shift are what the static steps make of the old "
            "ones, and learned values that are added. That is proved of the primitives."
        ),
        fix="This is a fault of the compiler, not of the plan: report it with the plan.",
    ),
    "GP273": Code(
        what="A learned tensor is not made as its step says.",
        why="A fit moves leaves and nothing else: which layers and leaves make a tensor is fixed before it.",
        fix="This is a bug of growplan: report it with the plan.",
    ),
    "GP274": Code(
        what="A tensor of a ring is not made of the blocks and cores that its step says.",
        why="Which weights are packed, and which blocks of a new layer a tensor is, is fixed before a fit.",
        fix="This is a bug of growplan: report it with the plan.",
    ),
}
