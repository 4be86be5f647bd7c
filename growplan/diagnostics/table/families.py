"""GP310-GP351: model families, configs against them, tensors against a config."""

from __future__ import annotations

from growplan.diagnostics.codes import Code

CODES = {
    "GP310": Code(
        "No family describes this `model_type`.",
        "A family file says which axes, weights and operations a model has; without one nothing is proved.",
        "Use a model of one of the families in `growplan families`, or describe yours in a family file "
        "and pass it by `--family FILE`.",
    ),
    "GP311": Code(
        "The family does not have the transformers class named in `architectures`.",
        "The class decides which head sits on the model and which tensors are stored.",
        "Save the model as one of the classes the message lists, or add it to a family file of your own.",
    ),
    "GP312": Code(
        "config.json has a key that the family does not know.",
        "A key that is silently ignored may change what the model computes, and the proof would be about "
        "another model.",
        "Remove the key if it is a leftover; if it does not change what the model computes, list it under "
        "`carried` in a copy of the family file and use `--family FILE`.",
    ),
    "GP313": Code(
        "A config value selects a variant of the model that the family does not handle.",
        "The rules that prove growth are written for the variants listed in the family file.",
        "Use a value the message lists; quantized or pruned models must be converted first.",
    ),
    "GP314": Code(
        "config.json lacks a key that gives the size of an axis.",
        "transformers would fill in a default, which is rarely the size of this checkpoint.",
        "Write the key into config.json with the size that the checkpoint has.",
    ),
    "GP315": Code(
        "A config value is not usable as a size.",
        "Sizes are whole numbers of at least 1; JSON strings, booleans and fractions are not.",
        "Correct the value; the message gives the range.",
    ),
    "GP316": Code(
        "Two sizes of the config do not divide as the family needs.",
        "Every head has hidden / heads units, every kv head serves heads / kv_heads query heads.",
        "Correct the sizes in config.json.",
    ),
    "GP317": Code(
        "An equation between sizes does not hold in the source.",
        "The stored weights cannot have these sizes, or the model would load and compute something else.",
        "Correct the sizes in config.json.",
    ),
    "GP318": Code(
        "The rotary positions of this config are not handled.",
        "Only `default`, `linear` and `llama3` positions that rotate whole heads are known.",
        "Set `rope_parameters` to a type the message lists, if the model was trained with it.",
    ),
    "GP319": Code(
        "The epsilon of a norm is missing or not a number from 0 to 1.",
        "Growth changes the epsilon by an exact factor, so it must be known.",
        "Write the value the model was trained with into config.json.",
    ),
    "GP320": Code(
        "`dtype` (or the older `torch_dtype`) is not a float type.",
        "The checkpoint is grown and written in this type.",
        "Use float32, bfloat16, float16 or float64.",
    ),
    "GP321": Code(
        "Two config keys give one axis different sizes.",
        "Which one a library reads differs between versions.",
        "Remove the key that does not belong to this family.",
    ),
    "GP322": Code(
        "A config list with one entry for each layer has another length.",
        "The family says of the key that its list runs over the layers; a growth in depth carries each"
        " layer's entry along, which a list of another length does not allow.",
        "Correct the list in config.json.",
    ),
    "GP330": Code(
        "Tensors that the config calls for are not in the checkpoint.",
        "transformers would fill them with random numbers and only warn.",
        "Use the complete checkpoint, or correct config.json (often the number of layers, or the class).",
    ),
    "GP331": Code(
        "The checkpoint has tensors that the config has no place for.",
        "transformers would drop them and only warn; growth must not lose weights silently.",
        "Correct config.json, or load and save the model with transformers to drop what it does not use.",
    ),
    "GP332": Code(
        "A stored tensor does not have the shape that the config gives it.",
        "The config and the checkpoint describe different models.",
        "Correct config.json; the note shows both shapes and the axes.",
    ),
    "GP333": Code(
        "A weight is stored in a type that growth cannot compute in.",
        "Integer and 8-bit weights are quantized: their values are not the numbers stored.",
        "Dequantize the model and save it in float32, bfloat16 or float16.",
    ),
    "GP334": Code(
        "The weights are stored in more than one float type.",
        "The type decides the tolerance of every assertion and the type that is written.",
        "Save the model in one type with transformers.",
    ),
    "GP335": Code(
        "The head is tied to the embedding, and its tensor is stored as well.",
        "transformers ties the two only where they are equal; where they differ it loads the model untied.",
        "Set `tie_word_embeddings` to false if they differ, else load and save the model with transformers.",
    ),
    "GP340": Code(
        "A family file cannot be found or read.",
        "`--family` takes the name of a family or the path of a family file; `extends` one that ships.",
        "Check the path; `growplan families` lists the names.",
    ),
    "GP341": Code(
        "A family file is not YAML.",
        "The message is the YAML parser's own, at the place where it stopped.",
        "Correct the syntax; text with `: ` or `#` in it needs quotes.",
    ),
    "GP342": Code(
        "A section of a family file is missing, unknown, given twice or of the wrong form.",
        "Unknown sections are refused: a misspelt one would be ignored.",
        "Compare with a family that ships, for example `growplan/families/data/gpt2.yaml`.",
    ),
    "GP343": Code(
        "A line of a family file cannot be read.",
        "Modules, sizes and statements have small languages of their own, read without running anything.",
        "The message shows the form; families that ship are examples.",
    ),
    "GP344": Code(
        "A family file uses an axis, module, value or operation that is not there, or leaves one unused.",
        "Every module must be written by one place of the graph, or its weights would never be typed.",
        "Correct the name.",
    ),
    "GP370": Code(
        "The option `rows` stands in a step that grows no table over ids.",
        "`rows` says what the new rows of a table hold: token embeddings (`vocab`), learned positions. "
        "Rotary positions are computed, so they have no rows.",
        "Take `rows` out, or put it on the step that grows the table.",
    ),
    "GP371": Code(
        "A grown vocab has rows that no token of the tokenizer selects.",
        "The tokenizer's files are carried as they are. New rows wait for tokens, and their logits already "
        "compete: they start at the size that `rows` gives them.",
        "Add the tokens to the result's tokenizer and save it there. Padding to a round size needs nothing.",
    ),
    "GP372": Code(
        "The tokenizer gives out ids beyond the grown vocab.",
        "A text with such a token fails in the embedding, or reads past it on a GPU.",
        "Grow `vocab` to at least the tokenizer's size, added tokens included.",
    ),
    "GP373": Code(
        "The source's tokenizer cannot be read.",
        "Its size is held against a vocab that grows; the file is no JSON of the usual form.",
        "Save the tokenizer again, or take the file away if nothing uses it.",
    ),
    "GP345": Code(
        "A statement of a family file puts the wrong axis into a module or operation.",
        "The axes are checked through the whole graph before any config is read.",
        "Correct the axes of the module or the statement.",
    ),
    "GP350": Code(
        "A config describes a sliding window that transformers could not build.",
        "Which tokens a layer sees is part of the function: it must hold layer by layer, before and after.",
        "Correct the key; a window is a whole number of tokens, and every layer has one kind of attention.",
    ),
    "GP351": Code(
        "Positions are counted from the padding id, and the config has none that fits.",
        "RoBERTa gives the first token the position after the padding id, and padding that of the id.",
        "Set `pad_token_id` to the id of the padding token.",
    ),
    "GP360": Code(
        "An image model has no such number of positions.",
        "Positions are the patches of a square image and the tokens before them, so few numbers are any.",
        "Use one of the sizes that the message names, or say the image: `widen image 224→384 via resample`.",
    ),
    "GP361": Code(
        "New positions of an image model would be rows at the end.",
        "Positions of an image are a grid: those of a larger one stand elsewhere, and all of them are read.",
        "Interpolate them: `via resample`.",
    ),
    "GP362": Code(
        "`resample` interpolates the positions of images, and the model reads tokens.",
        "A longer text keeps the positions it had, so rows are added at the end.",
        "Use `fpi`, which is exact on the old positions.",
    ),
}
