"""Codes of checkpoints on disk: unreadable config.json (GP30x) and files, targets, records (GP4xx)."""

from growplan.diagnostics.codes import Code

CODES = {
    "GP300": Code(
        what="The source directory has no config.json.",
        why="The config names the family and sizes of a model; nothing can be checked without it.",
        fix="Point `source` at the directory that `from_pretrained` loads; it holds config.json.",
    ),
    "GP301": Code(
        what="config.json is not valid JSON, or not UTF-8 text.",
        why="Parsers read such a file differently; NaN and Infinity are no JSON either.",
        fix="Correct the place shown, or save the model again with `save_pretrained`.",
    ),
    "GP302": Code(
        what="config.json has a key twice.",
        why="Readers silently take one of the two, and they disagree about which.",
        fix="Delete one of them.",
    ),
    "GP303": Code(
        what="config.json holds a list, a number or a string instead of an object.",
        why="A config maps keys to values.",
        fix="Check that the file is the model's own; save the model again with `save_pretrained`.",
    ),
    "GP400": Code(
        what="The directory does not exist, or is a file.",
        why="growplan reads local directories only and downloads nothing.",
        fix="Check the path; for a hub id, `hf download ORG/NAME --local-dir NAME` first.",
    ),
    "GP401": Code(
        what="The target exists and is not empty.",
        why="growplan never mixes its output with other files and never overwrites unasked.",
        fix="Choose another `--out`, or replace the old content with `--force`.",
    ),
    "GP402": Code(
        what="The target cannot be written to: a root, a mount point, a dead link, or under a file.",
        why="The result is written beside the target and renamed: it must be an ordinary directory.",
        fix="Choose an `--out` with a directory of its own.",
    ),
    "GP403": Code(
        what="TARGET.partial exists and growplan did not make it.",
        why="That is where a run writes before it renames; growplan deletes only leftovers of its own there.",
        fix="Move the directory away, or choose another `--out`.",
    ),
    "GP404": Code(
        what="Another run is writing the same target.",
        why="Two runs in one place would destroy each other's files.",
        fix="Wait for the other run, or choose another `--out`.",
    ),
    "GP405": Code(
        what="The target overlaps with the source, or with a file the run needs.",
        why="The source must not change while it is read, and is never written to.",
        fix="Choose an `--out` beside the source.",
    ),
    "GP406": Code(
        what="The disk of the target has too little free space.",
        why="The size of the result is known beforehand; starting would only end in the middle.",
        fix="Free some space, or choose another disk. With `--force` the old content stays until the end.",
    ),
    "GP407": Code(
        what="`--force` was asked to delete a directory that is no checkpoint, or a git repository.",
        why="Deleting a home directory by a slip of the path could not be undone.",
        fix="Remove the directory yourself if it is not needed, or choose another `--out`.",
    ),
    "GP410": Code(
        what="The weights are in a format growplan does not read (.bin, GGUF, TensorFlow, Flax).",
        why="Only safetensors can be read without running code, and in place.",
        fix="Load the model with transformers and save it again: `save_pretrained` writes safetensors.",
    ),
    "GP411": Code(
        what="The directory is a PEFT adapter.",
        why="An adapter is a difference to a base model; growing needs the whole weights.",
        fix="Merge it with `merge_and_unload()` and save the result.",
    ),
    "GP412": Code(
        what="The weights are quantized (GPTQ, AWQ, bitsandbytes, …).",
        why="Sums and shares of quantized numbers are not quantized sums: nothing exact comes of them.",
        fix="Start from the unquantized checkpoint, or dequantize and save it first.",
    ),
    "GP413": Code(
        what="There are no weights in the directory.",
        why="`apply` rewrites tensors; a config.json alone is enough only for `check`.",
        fix="Add model.safetensors, or the index and all its shards.",
    ),
    "GP414": Code(
        what="A shard that the index names is missing.",
        why="Each shard holds some of the tensors.",
        fix="Copy or download the missing file.",
    ),
    "GP415": Code(
        what="A weight file is empty, shorter than a header, or no regular file.",
        why="Usually a download that was cut off.",
        fix="Copy or download it again.",
    ),
    "GP416": Code(
        what="A safetensors header claims an impossible length.",
        why="The file is truncated, something else (a Git LFS pointer, an HTML page), or hostile.",
        fix="Copy or download it again (`git lfs pull` for a cloned repository).",
    ),
    "GP417": Code(
        what="A safetensors header is not JSON.",
        why="Without it nothing says where tensors are.",
        fix="Copy or download the file again.",
    ),
    "GP418": Code(
        what="A safetensors header has a malformed entry: a missing field, a bad shape, a name given twice.",
        why="growplan believes no part of a header that is not well-formed as a whole.",
        fix="Save the model again with `save_pretrained`.",
    ),
    "GP419": Code(
        what="A tensor has a type that safetensors does not define.",
        why="Its bytes cannot be interpreted.",
        fix="Save the model again with a current version of safetensors.",
    ),
    "GP420": Code(
        what="A tensor's byte count does not fit its shape and type.",
        why="The header contradicts itself.",
        fix="Copy the file again, or save the model again.",
    ),
    "GP421": Code(
        what="Tensors lie outside the file, over one another, or with gaps.",
        why="The file is truncated or was tampered with.",
        fix="Copy or download the file again.",
    ),
    "GP422": Code(
        what="model.safetensors.index.json is malformed, or points outside its directory.",
        why="The index says which shard holds which tensor; only files beside it are opened.",
        fix="Save the model again with `save_pretrained`.",
    ),
    "GP423": Code(
        what="The index and a shard name different tensors.",
        why="The files come from different saves; transformers would silently leave some tensors untrained.",
        fix="Copy all files of one save again.",
    ),
    "GP424": Code(
        what="A tensor that the family needs is not in the checkpoint.",
        why="transformers would silently initialise it anew.",
        fix="Check that config.json belongs to these weights.",
    ),
    "GP425": Code(
        what="A weight file changed while it was being read.",
        why="The result would mix two versions.",
        fix="Let whatever writes the source finish, then run again.",
    ),
    "GP430": Code(
        what="The disk is full, or the quota is used up.",
        why="Something else took the space after the check at the start. Nothing was published.",
        fix="Free some space, or choose another disk with `--out`.",
    ),
    "GP431": Code(
        what="Permission denied, or a read-only file system.",
        why="growplan runs with your rights only.",
        fix="Check the owner of the path, or choose another `--out`.",
    ),
    "GP432": Code(
        what="The operating system refused to read or write a file.",
        why="The reason it gave is in the message.",
        fix="Act on the reason; nothing was published.",
    ),
    "GP433": Code(
        what="A tensor of the result was not written whole.",
        why="This is a mistake in growplan itself; it is checked so that no damaged result is published.",
        fix="Please report it with the plan.",
    ),
    "GP440": Code(
        what="A sentence-transformers module has weights made for the old hidden size or number of layers.",
        why="Such modules (Dense, LayerNorm, …) are outside the model's family and would no longer fit.",
        fix="Take the module out and train it again, or grow other axes.",
    ),
    "GP441": Code(
        what="modules.json, or the config of one of its modules, is not usable.",
        why="It decides which folders belong to the model and repeats its width.",
        fix="Correct the file, or remove modules.json if the model is not used with sentence-transformers.",
    ),
    "GP442": Code(
        what="preprocessor_config.json cannot follow a larger image.",
        why="It brings images to the size that the model reads; images of the old size would be refused.",
        fix="Correct its `size` (or `crop_size`), or take it out and save the processor again.",
    ),
    "GP450": Code(
        what="growth.json is not readable.",
        why="It records what was done and what every tensor must be.",
        fix="Restore it from where the checkpoint came from.",
    ),
    "GP451": Code(
        what="growth.json was written by a newer growplan.",
        why="Its meaning may have changed.",
        fix="Upgrade growplan.",
    ),
    "GP460": Code(
        what="The directory has no growth.json.",
        why="It was not made by growplan, so there is nothing to compare its tensors with.",
        fix="Name a directory that `growplan apply` wrote; the headers and config of this one were checked.",
    ),
    "GP461": Code(
        what="A file or tensor that growth.json names is missing.",
        why="The checkpoint is no longer complete.",
        fix="Copy it again, or apply the plan again: the same plan and source give the same bytes.",
    ),
    "GP462": Code(
        what="A file or tensor was changed since it was written.",
        why="Its sha256 differs from the one in growth.json; the certificate no longer covers it.",
        fix="Expected after training or editing; otherwise copy it again.",
    ),
    "GP463": Code(
        what="A tensor is in the checkpoint but not in growth.json.",
        why="It was added later; the certificate does not cover it.",
        fix="Expected after training or editing; otherwise copy the checkpoint again.",
    ),
    "GP464": Code(
        what="The directory still has the marker of a run that did not end.",
        why="The run was killed; tidying up was left over.",
        fix="Apply the plan again with the same `--out`: it tidies up first.",
    ),
    "GP465": Code(
        what="config.json and the tensors name different float types.",
        why="transformers converts on loading to what config.json says.",
        fix="Set `dtype` in config.json to the type of the tensors.",
    ),
    "GP466": Code(
        what="The directory holds files that growth.json does not list.",
        why="They were put there later; a file of code or weights can change what is loaded.",
        fix="Move them away if they are not yours. README.md and hidden files are not looked at.",
    ),
}
