"""Codes of the data that a learned step is fitted on: GP557 to GP562."""

from growplan.diagnostics.codes import Code

CODES = {
    "GP557": Code(
        what="Sequences of several lengths cannot be told apart from what fills them up.",
        why=(
            "A causal model's head for sequences reads the last token of each. transformers finds it by the "
            "padding token of the config, and refuses batches where the config names none."
        ),
        fix="Add `pad_token_id` to the source's config.json: the id that the model was trained with.",
    ),
    "GP558": Code(
        what="The data has no labels that the model's head is trained on.",
        why=(
            "A head for sequences needs one label each, a head for tokens one for every token (-100 where "
            "nothing is asked), a head for answers the first and the last token of the answer. A label is a "
            "number below the model's count, or a name in its config's `id2label`; classes of images have "
            "the numbers of their names there, or are counted in the order of their folders."
        ),
        fix="Write the labels beside the texts or ids; take names and numbers from the source's config.json.",
    ),
    "GP559": Code(
        what="A package that this form of data needs is not installed.",
        why=(
            "Folders of images are decoded by pillow, directories that `save_to_disk` wrote are read by "
            "datasets. Neither comes with growplan unless asked for."
        ),
        fix="`pip install 'growplan[data]'`, or give a form that needs neither: `.npz`, `.npy`, `.jsonl`.",
    ),
    "GP560": Code(
        what="There is little data for the fit that is asked for.",
        why=(
            "An operator that sees the same tokens many times learns them by heart, and a loss over a few "
            "held-out windows says little. What is held out is never drawn, but text that repeats itself "
            "stands on both sides."
        ),
        fix="Give more data, or fit for fewer steps; look at the loss on data of your own afterwards.",
    ),
    "GP562": Code(
        what="An image cannot be decoded.",
        why=(
            "Images of a folder or of a dataset are decoded when a batch draws them, at 8 bits a channel. A "
            "damaged file, or one of more bits, is not replaced by another."
        ),
        fix="Save the image again, or take it out; images of more bits go into a `.npz`, normalised.",
    ),
}
