"""Codes of run-time assertions and devices: GP5xx."""

from growplan.diagnostics.codes import Code

CODES = {
    "GP501": Code(
        what="A grown weight does not satisfy the preservation law W* E_in = E_out W.",
        why=(
            "Before anything is published, every rewritten weight is applied to random inputs and "
            "compared with the old one. A difference above the rounding of its dtype means that the "
            "tensor is not what the plan's proof speaks of."
        ),
        fix=(
            "This is a bug in growplan or in a method of your own, not in your plan: please report it "
            "with the plan. Nothing was written to the target."
        ),
    ),
    "GP502": Code(
        what="A grown block does not do what the old block did.",
        why=(
            "Every weight may satisfy its own law while the block as a whole does not, for example "
            "when a query head reads another head's keys. So blocks are compared whole."
        ),
        fix="Please report it with the plan; the rule that typed this block is wrong. Nothing was written.",
    ),
    "GP503": Code(
        what="The grown model's output differs from the old one's by more than rounding explains.",
        why="The step claims `exact`, and probe inputs are run through the model before and after it.",
        fix=(
            "Look at the measured error beside the tolerance. In half precision a plan of many steps "
            "may need a float32 source; otherwise please report it with the plan."
        ),
    ),
    "GP504": Code(
        what="A tensor is not the copy that the method names, or not made of the slices it names.",
        why="A step that preserves nothing (stacks, `aki`) is asserted by where its tensors are from.",
        fix="Please report it with the plan. Nothing was written to the target.",
    ),
    "GP505": Code(
        what="The grown model's output is not finite.",
        why="A tensor holds NaN or infinity, from the source or from a slice that was never filled.",
        fix="Check the source for NaN first; a float16 source may overflow where bfloat16 does not.",
    ),
    "GP506": Code(
        what="A written tensor is not the tensor that was asserted.",
        why="What is on disk is read back and compared with the last model of the plan, bit for bit.",
        fix="Check the disk and the memory of the machine, and run again. Nothing was published.",
    ),
    "GP507": Code(
        what="transformers does not load the result cleanly.",
        why=(
            "from_pretrained re-initialises missing tensors and drops unexpected ones with no more than "
            "a warning, so a result that loads is not yet the model that was asserted."
        ),
        fix="Please report it with the plan and the versions; the family file names tensors wrongly.",
    ),
    "GP508": Code(
        what="The device asked for is not there.",
        why="`--device cuda` needs a CUDA build of torch and a visible GPU.",
        fix="Use `--device auto` to take what there is, or `--device cpu`.",
    ),
    "GP509": Code(
        what="A tensor that must change has a dtype which cannot be computed with.",
        why="Growth computes in float64 or float32, from float64, float32, bfloat16 and float16 tensors.",
        fix="Convert the checkpoint to float32 or bfloat16, or dequantise it, and grow that.",
    ),
    "GP520": Code(
        what="A step that measures on data names none.",
        why="Where new units should write is found from a gradient, and a gradient needs a batch.",
        fix="Add `, data FILE`: a text that the source's tokenizer reads, or token ids as `.json` or `.npy`.",
    ),
    "GP521": Code(
        what="The data of a step cannot be read.",
        why="It is looked for beside the plan (an absolute path is taken as it is), before a weight is read.",
        fix="Check the path, and that the file is a file, not empty, and yours to read.",
    ),
    "GP522": Code(
        what="The data of a step gives no token ids that the model could read.",
        why=(
            "A text is read by the tokenizer in the source's directory, or as bytes where the vocab is 256. "
            "A `.json` holds a list of ids, a list of such lists, or `{ids: …, labels: …}`; a `.npy` one or "
            "two dimensions of whole numbers. Every id lies inside the vocab."
        ),
        fix="Save the ids that the model was trained on, or put its tokenizer's files into the source.",
    ),
    "GP523": Code(
        what="There is no loss whose gradient could be taken.",
        why=(
            "The loss is that of the head's own task: the next token, masked tokens (which needs the mask "
            "token's id), or labels (which the data must give). A base model has none."
        ),
        fix="Give the checkpoint with its head, and labels beside the ids where the task needs them.",
    ),
    "GP524": Code(
        what="A silent unit would get no gradient in this model.",
        why=(
            "New units read nothing at first, so their activation stands at 0; a gradient comes back only "
            "through an activation with a slope at 0, and torch takes that of relu to be 0. Experts share no "
            "gradient: a token reaches some of them."
        ),
        fix="Grow by copies (`fpi`) or behind a mask (`mask-in`): both are exact, and both learn.",
    ),
    "GP525": Code(
        what="There are more new units than directions with a gradient.",
        why=(
            "New units write along singular vectors of one matrix per layer: as many as it has rows, columns "
            "and, for a small batch, independent tokens. Beyond those, a unit would get no gradient."
        ),
        fix="Add fewer units in one step, or give more data (`batch`, `length`).",
    ),
    "GP526": Code(
        what="The gradient on the data is not finite, or zero.",
        why="Then it has no direction. An overflow does this, or labels that the model is certain of.",
        fix="Check the data and the source; `growplan verify` and a forward pass show whether it is finite.",
    ),
    "GP511": Code(
        what="A plan proved exact, and transformers computes something else from the result.",
        why=(
            "The proof is about the model that the family file describes. A family file that leaves out "
            "what the class does (rotary positions, say) proves things of another model."
        ),
        fix="Correct the family file: its interpreter must give what transformers gives on the source.",
    ),
    "GP513": Code(
        what="Rounding moves the grown model so far that nothing can be said of its function.",
        why=(
            "Noise that cancels over the copies of a unit cancels for equal copies alone. Rounding makes "
            "them differ, and noise that is large beside the weights multiplies the difference in every "
            "layer. The grown model was run with weights as little off as rounding puts them, to see."
        ),
        fix=(
            "Take smaller noise (`init like`, a larger `snr_db` or `noise`, a smaller `scale`), or grow the "
            "model in float32. Nothing was written."
        ),
    ),
    "GP512": Code(
        what="A slice does not hold what was measured for it.",
        why=(
            "Columns that read units at 0 may hold anything, so that no law sees a fault there. They are "
            "held against the values that were found on the data, bit for bit."
        ),
        fix="Please report it with the plan, the device and the version of torch. Nothing was written.",
    ),
    "GP510": Code(
        what="A freshly drawn value is not the one that its key stands for.",
        why=(
            "New units are drawn by a counter-based generator, so that equal plans give equal bytes "
            "everywhere. A sample is drawn again with plain integers and compared."
        ),
        fix="Please report it with the plan, the device and the version of torch.",
    ),
}
