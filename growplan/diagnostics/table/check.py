"""Codes of the checker and the methods: sizes and words (GP1xx), type rules and claims (GP2xx), lints."""

from growplan.diagnostics.codes import Code

CODES = {
    "GP101": Code(
        "A step names an axis that the model's family does not have.",
        "Axes are those of the family file, or transformers' config keys for them.",
        "Use one of the axes listed; `growplan families` shows them for each family.",
    ),
    "GP102": Code(
        "The size on the left of the arrow is not the model's size at this step.",
        "A stated source size is a check: the plan was written for another model, or an earlier step"
        " already changed the axis.",
        "Correct the size, or leave it out.",
    ),
    "GP104": Code(
        "A step asks for a smaller size.",
        "growplan grows models; nothing here decides which units to throw away.",
        "Give a larger size.",
    ),
    "GP105": Code(
        "A step gives no size and no open equation determines one.",
        "A size may be left out only where an earlier step left an equation such as"
        " hidden = heads * head_dim open.",
        "Write the size.",
    ),
    "GP106": Code(
        "A size is beyond any real model.",
        "Sizes above 2^31 cannot be stored or computed with.",
        "Check the number; `x2` is a factor, `to 2` a size.",
    ),
    "GP107": Code(
        "An equation between axes has no whole solution.",
        "In BERT and GPT-2 the head size is hidden / heads and stays as it is, so hidden must be a"
        " multiple of it.",
        "Use one of the nearest sizes named.",
    ),
    "GP108": Code(
        "One step names an axis twice.",
        "A step grows each axis once.",
        "Remove one of the two, or write two steps.",
    ),
    "GP109": Code(
        "The plan ends with an equation between axes that does not hold.",
        "Every axis of the equation was given a size by the plan, so none can be implied.",
        "Change one of the sizes, or leave one axis to be implied.",
    ),
    "GP111": Code(
        "`via` names a method that does not exist.",
        "Methods are found by name in growplan/methods.",
        "Use a name that `growplan methods` lists.",
    ),
    "GP112": Code(
        "The verb does not apply to this axis.",
        "Widths are widened; the number of layers is stacked or deepened.",
        "Use the verb that the message names.",
    ),
    "GP113": Code(
        "The method does not serve this verb.",
        "`stack` copies layers, `deepen` inserts them, `widen` adds units, `mask-in` adds masked ones.",
        "Use one of the methods listed for the verb.",
    ),
    "GP114": Code(
        "The method does not grow this axis.",
        "Its paper defines it on other axes.",
        "Use one of the methods listed for the axis.",
    ),
    "GP115": Code(
        "A step has an option that its method does not know, or does not read for this verb.",
        "An option that nobody reads would be a silent mistake.",
        "Remove it, or use one of the options listed.",
    ),
    "GP116": Code(
        "An option has a value that its method does not accept.",
        "Options take the values that `growplan methods` lists.",
        "Use one of them.",
    ),
    "GP117": Code(
        "A key has no meaning for this verb, or its number makes no sense.",
        "`over` belongs to `mask-in`; `on` and `for … steps` to learned methods.",
        "Remove the key, or correct the number.",
    ),
    "GP118": Code(
        what="A learned step names no data.",
        why="Its operator is fitted on the grown model's own loss, and a loss needs a corpus or images.",
        fix="Say on what, and for how long: `grow … via ligo on corpus.txt for 100 steps`.",
    ),
    "GP121": Code(
        "The method cannot make this number of layers.",
        "Each method has its layer map: `stackbert` and `gstack` append whole copies of the stack, `solar`"
        " joins two of equal length, `llama-pro` puts one block after each group of equal size.",
        "Use one of the depths named, or the method that takes any.",
    ),
    "GP130": Code(
        "The plan names no source checkpoint.",
        "Sizes, equations and proofs are those of one model.",
        "Add `source: DIR` to the plan, or give `--model DIR`.",
    ),
    "GP131": Code(
        "There is no directory to write the result to.",
        "Neither the plan nor the command names one.",
        "Give `--out DIR`, or add `target: DIR` to the plan.",
    ),
    "GP201": Code(
        "No map of the method's passes the operations of this family.",
        "Each operation of a model accepts some expansions of its input and no others: a post-norm"
        " LayerNorm needs every unit copied equally often, for instance.",
        "Use one of the ways out that the message names.",
    ),
    "GP203": Code(
        "The result breaks a hard constraint, so that no transformers config can express it.",
        "For instance, heads must be a multiple of kv_heads, and hidden of heads.",
        "Use one of the sizes named.",
    ),
    "GP204": Code(
        "The proof is weaker than the claim.",
        "A step claims what its method promises, or what `expect` says; the checker proved less.",
        "Change the size or the method, or say what you accept with `expect`.",
    ),
    "GP230": Code(
        what="An option of a step says nothing beside the others.",
        why="It would be ignored without a word, and the plan would not do what it says.",
        fix="Take the option out, or choose the variant that it belongs to.",
    ),
    "GP231": Code(
        what="A method that copies a model whole is asked for a size that is no multiple of the old one.",
        why="Part of a copy has no place in its construction, and what is exact of it rests on whole copies.",
        fix="Take a multiple, or a method for any size.",
    ),
    "GP232": Code(
        what="`staged` does not double every width of the model in one step.",
        why="Its matrices are two old ones on the diagonal, so both sides of each double together.",
        fix="Write all of the sizes in one `grow` step, each twice the old one.",
    ),
    "GP233": Code(
        what="Noise that cancels over copies is asked for where a plan has made no copies.",
        why="LEMON's second kind of new block adds nothing because equal units are read with opposite signs.",
        fix="Widen what the new block reads first, in the same plan: training would end the equality.",
    ),
    "GP235": Code(
        what="A tied head cannot be given a matrix of its own, as the family file describes it.",
        why="Its `copies` must name what each tensor of the untied head repeats, and with these the untied"
        " head must be the tied one, operation by operation.",
        fix="Leave `head untie` out, or complete `copies` in a family file of your own (`--family FILE`).",
    ),
    "GP210": Code(
        "Query heads and kv heads cannot be laid out in groups.",
        "A config maps query head j to kv head floor(j * KV / H): groups are contiguous and equal.",
        "Use one of the head counts named.",
    ),
    "GP221": Code(
        "An option asks for another number of layers than the plan's size.",
        "Options such as `g` of `gstack` and `m` of `solar` determine the depth alone.",
        "Leave out the size or the option.",
    ),
    "GP222": Code(
        "An option has a number that does not fit the model's layers.",
        "`block` of `midas` must divide the number of layers; `m` of `solar` may be half of it at most.",
        "Use one of the numbers named.",
    ),
    "GP253": Code(
        "The model's family has no mixture of experts that it could become.",
        "Upcycling needs a transformers class whose block is the dense one with a routed ffn in it; Mixtral"
        " is that for LLaMA and Mistral, and there is none for BERT, GPT-2 or ViT.",
        "Widen the ffn instead, or describe such a mixture in a family file with `upcycles`.",
    ),
    "GP254": Code(
        "The mixture's config cannot express what the dense model is.",
        "The result must load in the stock class, and that has no key for it (Mixtral has no biases).",
        "Upcycle a model without it, or grow the dense model.",
    ),
    "GP257": Code(
        "Experts, `top-k` and `granularity` do not go together.",
        "Shards come in whole groups: the ffn divides into them, experts and `top-k` are multiples of them.",
        "Use one of the numbers named.",
    ),
    "GP258": Code(
        "`upcycle` on a model that is a mixture of experts already.",
        "Upcycling makes the experts from one ffn; here there are several, which differ.",
        "Add experts by `widen experts … via fpi`.",
    ),
    "GP901": Code(
        "Copies share their outgoing weights evenly.",
        "Copies with equal weights get equal gradients, so a deterministic optimiser never separates"
        " them and the added capacity stays unused.",
        "Add `split uneven`; the function is preserved just as exactly.",
    ),
    "GP902": Code(
        "New units are zero both where they are written and where they are read.",
        "Then the gradient of both sides is zero, for ever.",
        "Draw one side: `init like`.",
    ),
    "GP903": Code(
        "A factor on weights or norm scales is rounded to half precision.",
        "The map is exact over the reals; the stored checkpoint differs by what the dtype rounds.",
        "Use a multiple of the old size where bits matter, or accept the printed error.",
    ),
    "GP910": Code(
        "A size of the result is no multiple of 64.",
        "Matrix kernels work in tiles of 64 or 128; an odd size pays for a whole tile, and loses tensor cores"
        " where it is no multiple of 8. Only sizes that the plan changes are looked at.",
        "Use one of the sizes named; the function is preserved just as exactly.",
    ),
    "GP911": Code(
        "The number of heads no longer divides by a usual number of devices.",
        "Tensor parallelism gives each device whole heads; the source could be split further.",
        "Use one of the sizes named, or split the model in another way.",
    ),
    "GP920": Code(
        what="A learned operator is larger than the model it makes.",
        why=(
            "Its numbers are fitted in a short run. With more of them than the target has, the target could "
            "be trained instead: a small model has little that an operator could save."
        ),
        fix="Share operators over layers (`tying shared`), grow less in one step, or use a static method.",
    ),
    "GP921": Code(
        what="A learned operator will hardly move.",
        why=(
            "Adam takes a number about one rate a step. Where the rates of all steps add up to less than a "
            "hundredth, what is fitted is the initial map: the published LiGO command warms up over 10000 "
            "steps and runs 100."
        ),
        fix="Use `recipe growplan`, a shorter `warmup`, a higher `lr`, or more steps.",
    ),
    "GP912": Code(
        "The config drops out activations, and the claim is exact.",
        "Exact means the same function in eval mode. In training, dropout draws masks of the new sizes, so"
        " that the first loss differs by what dropout changes.",
        "Nothing is wrong; set the rates to 0 where you want to see the same first loss.",
    ),
    "GP915": Code(
        what="A step is exact over the reals, and storing its weights in the checkpoint's dtype is visible.",
        why="Noise on the copies of a unit multiplies what rounding makes them differ by.",
        fix="Take smaller noise (`init like`, a larger `snr_db` or `noise`, a smaller `scale`), or float32.",
    ),
    "GP914": Code(
        "Experts of a mixture will stay equal.",
        "Experts that are picked together, with one weight and equal values, get equal gradients; and under a"
        " router whose scores all tie, the same experts get every token.",
        "Give the experts something to differ in: `noise`, `drop`, or a router that is drawn.",
    ),
}
