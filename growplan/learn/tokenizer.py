"""The tokenizer beside a checkpoint: whether there is one, its mask token, and a text as its ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from growplan.diagnostics import fail

WHOLE = "tokenizer.json"
PARTS = ("vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
SAID = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
TOKENIZER = (WHOLE, *PARTS, *SAID)  # what a tokenizer is read from
PIECE = 1 << 20  # characters that are tokenised at once
LONG = 1 << 20  # tokens: no text is cut


def has_tokenizer(source: Path) -> bool:
    """Whether a text can be turned into ids."""
    return any((source / name).is_file() for name in (WHOLE, *PARTS))


def tokenize(source: Path, text: str) -> list[int]:
    """The ids of a text, nothing added at its ends. Raises GP522 where the tokenizer cannot be loaded.

    A text longer than PIECE is read in pieces that end at a line's end; a token may differ where two meet.
    """
    encode, out = Encoder(source), list[int]()
    for piece in _pieces(text):
        out += encode([piece])[0]
    return out


class Encoder:
    """The tokenizer in `source`, loaded once. What it says itself of cutting and filling up is left aside.

    Raises GP522 where it cannot be loaded.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        with _told(source):
            self._fast: Any = _fast(source)
            self._slow: Any = None if self._fast is not None else _slow(source)

    def __call__(self, texts: Sequence[str], longest: int | None = None) -> list[list[int]]:
        """The ids of each text; with `longest` at most so many, [CLS] and [SEP] or their like included.

        Without it nothing is added at the ends.
        """
        ends = longest is not None
        with _told(self.source):
            if self._fast is None:
                cut = {"truncation": True, "max_length": longest} if ends else {}
                found = self._slow(list(texts), add_special_tokens=ends, verbose=False, **cut)
                return [list(ids) for ids in found["input_ids"]]
            self._fast.no_padding()
            self._fast.no_truncation() if longest is None else self._fast.enable_truncation(longest)
            return [each.ids for each in self._fast.encode_batch(list(texts), add_special_tokens=ends)]


@contextmanager
def _told(source: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the libraries raise their own kinds, bare Exception among them
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        way = "save the tokenizer again by transformers, or give token ids as .json or .npy"
        fail("GP522", f"the tokenizer in {source} cannot be loaded: {reason}", help=way)


def _fast(source: Path) -> Any:
    if not (source / WHOLE).is_file():
        return None
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(source / WHOLE))


def _slow(source: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source, local_files_only=True)


def _pieces(text: str) -> Iterator[str]:
    at = 0
    while len(text) - at > PIECE:
        end = text.rfind("\n", at, at + PIECE) + 1 or at + PIECE
        yield text[at:end]
        at = end
    yield text[at:]


def edges(source: Path) -> tuple[int, int] | None:
    """What a tokenizer puts before and after a text ([CLS] and [SEP]); None where that is no pair."""
    if not (source / WHOLE).is_file():
        return None
    (ids,) = Encoder(source)([""], LONG)
    return (ids[0], ids[1]) if len(ids) == 2 else None


def mask_id(source: Path) -> int | None:
    """The id of the mask token, from the tokenizer's files; None where they do not say."""
    names = ("tokenizer_config.json", "special_tokens_map.json")
    token = next((token for name in names if (token := _named(source / name))), None)
    if token is None:
        return None
    whole = _json(source / WHOLE)
    for added in whole.get("added_tokens") or ():
        if isinstance(added, dict) and added.get("content") == token and type(added.get("id")) is int:
            return int(added["id"])
    model = whole.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    for table in (vocab, _json(source / "vocab.json"), _json(source / "added_tokens.json"), _lines(source)):
        if isinstance(table, dict) and type(table.get(token)) is int:
            return int(table[token])
    return None


def _named(path: Path) -> str | None:
    """The text of a file's `mask_token`."""
    token = _json(path).get("mask_token")
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _lines(source: Path) -> dict[str, int]:
    """Token -> id of a `vocab.txt`."""
    try:
        lines = (source / "vocab.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    return {line: i for i, line in enumerate(lines)}
