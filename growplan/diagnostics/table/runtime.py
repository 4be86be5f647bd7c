"""Codes of growth masks and of what lives in a training loop: GP58x, GP59x."""

from growplan.diagnostics.codes import Code

CODES = {
    "GP580": Code(
        what="A step grows what an earlier step of the plan keeps behind an attached mask.",
        why=(
            "A mask stands at certain units of an axis until it has risen to 1 in training. Moving or "
            "copying those units in the same plan would leave it at the wrong ones."
        ),
        fix="Train until the mask is 1, take it away, and grow the plain model by a plan of its own.",
    ),
    "GP581": Code(
        what="There is no growth state beside the checkpoint, or none that can be read.",
        why=(
            "Where masks stand and how they rise is kept in growth-state.json; guessing it would train "
            "another model than the plan describes."
        ),
        fix="Give the directory that `growplan apply` wrote for a plan with `mask-in`, or a later checkpoint "
        "beside which the runtime saved its state.",
    ),
    "GP582": Code(
        what="The growth state was written for another model.",
        why="Its masks name modules and units; in a model of other sizes they would stand at the wrong ones.",
        fix="Keep growth-state.json with the checkpoint that it was written beside.",
    ),
    "GP583": Code(
        what="The model is not the one that was written beside its growth state.",
        why=(
            "The checkpoint holds masked units times 0, and the raw values lie beside it. They are put back "
            "into the model as it was written; one that was trained since would lose that training."
        ),
        fix="Load the model by `from_pretrained` from that directory; attach its masks before training.",
    ),
    "GP584": Code(
        what="The model has its masks already.",
        why="Attached twice, every mask would count twice: m squared in place of m.",
        fix="Use the object that `attach` returned, or call its `finish()` first.",
    ),
    "GP586": Code(
        what="Masks cannot be attached to the experts of a mixture.",
        why=(
            "transformers keeps all experts of a layer in one parameter, so that there is no module whose "
            "input a hook could mask."
        ),
        fix="Grow the dense model behind masks before it is upcycled, or train on without a ramp.",
    ),
    "GP587": Code(
        what="A mask cannot be put into the weights.",
        why=(
            "A norm that weighs units by a mask, and a block that is mixed with its input, are no weights of "
            "a plain model, so that no plain checkpoint can hold them."
        ),
        fix="Train until the mask is 1, or load the checkpoint and attach its masks.",
    ),
    "GP588": Code(
        what="The source is in the middle of a ramp.",
        why="Its masks are below 1: what its weights compute alone is not the model that was trained.",
        fix="Train until every mask is 1, call `finish()` and save; or `growplan runtime export DIR OUT`.",
    ),
    "GP590": Code(
        what="A word that says what is trained names nothing.",
        why="A misspelt word would freeze the whole model, and the run would train nothing.",
        fix="Use one of the words the message lists, or a pattern that matches parameter names in memory.",
    ),
    "GP591": Code(
        what="A tied head is to be trained and frozen at once.",
        why=(
            "The head and the embedding are one parameter. MSLT trains the head and freezes the "
            "embedding, which is no choice here."
        ),
        fix="Say `tied='train'` or `tied='freeze'`; or untie the head in the plan.",
    ),
    "GP592": Code(
        what="There is no record of which layers are new.",
        why="`growplan apply` writes it into growth.json; a checkpoint saved by training does not carry it.",
        fix="Give the directory that `apply` wrote, or name the layers by number.",
    ),
    "GP593": Code(
        what="Sub-models of so many layers do not fill the model.",
        why="Stage one of bert2BERT trains the layers in groups; each group is the top of one sub-model.",
        fix="Take a number that divides the number of layers.",
    ),
    "GP585": Code(
        what="A mask cannot be set or taken away like that.",
        why="Taking a mask away below 1 would make the function jump in the middle of training.",
        fix="Go on until every mask is 1, or set the step at which they are, knowingly.",
    ),
}
