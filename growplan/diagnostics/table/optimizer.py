"""Codes of the optimizer's state: `growplan apply --optimizer` and `growplan.runtime`."""

from growplan.diagnostics.codes import Code

CODES = {
    "GP570": Code(
        what="`--optimizer` is given, and the source has no optimizer state that can be grown.",
        why=(
            "A Trainer's checkpoint holds it as one `optimizer.pt`. FSDP, DeepSpeed and XLA write it in "
            "parts, each in a form of its own."
        ),
        fix="Give a checkpoint of the Trainer as the source, gather the parts into one, or drop the state.",
    ),
    "GP571": Code(
        what="`optimizer.pt` cannot be read as a state dict of plain tensors.",
        why=(
            "A pickle can run code when it is read. growplan opens this one file, and only with torch's "
            "reader for tensors, numbers and texts. It refuses everything else, quantised states too."
        ),
        fix="Save `optimizer.state_dict()` of a plain AdamW, or drop or reset the state.",
    ),
    "GP572": Code(
        what="The optimizer's state is not AdamW's.",
        why=(
            "The rules say what becomes of a running mean of the gradient and of its square. Other "
            "optimizers keep other things: factors (Adafactor), blocks of 8-bit numbers, one mean (Lion)."
        ),
        fix="Reset the state: the grown model trains on with the same rates, and moments that begin anew.",
    ),
    "GP573": Code(
        what="The optimizer's state has another number of parameters than the model trains.",
        why=(
            "A state dict knows its parameters by number alone: the Trainer counts those that train, those "
            "that decay first. Which is which is rebuilt from the class in config.json and the frozen set."
        ),
        fix="Use the state that was saved with these weights; name what was frozen in `growth-frozen.json`.",
    ),
    "GP574": Code(
        what="A moment has another shape than the parameter that its number says.",
        why=(
            "`load_state_dict` takes moments of any shape, and training then fails at the first step, or "
            "goes on with the moments of another parameter."
        ),
        fix="Use the state that was saved with these weights, or reset it.",
    ),
    "GP575": Code(
        what="An optimizer given to `grow_optimizer` holds parameters of another model.",
        why="Its parameters are found in the model by identity; a model loaded again has others.",
        fix="Give the model that the optimizer was made with.",
    ),
    "GP576": Code(
        what="`trainer_state.json` cannot be read.",
        why="It says at which step the training stands, and goes on into the grown checkpoint.",
        fix="Restore the file, or drop the state.",
    ),
    "GP577": Code(
        what="`growth-frozen.json` cannot be read.",
        why="It says which parameters did not train, without which the numbers of an optimizer mean nothing.",
        fix="Restore the file, or write the names of the frozen parameters into it.",
    ),
    "GP578": Code(
        what="`Rewarm.of` was given a folder without a readable growth.json.",
        why="The hint how to lead the learning rate up again is written there by `growplan apply`.",
        fix="Give a grown checkpoint, or make a `Rewarm(begin, steps)` with numbers of your own.",
    ),
}
