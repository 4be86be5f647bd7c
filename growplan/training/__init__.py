"""Training stage by stage: `growplan train`, on transformers' Trainer.

    plan, DIR   ─►   DIR/01-NAME/{grown, checkpoints, trained}, ..., DIR/history.jsonl, DIR/model

Everything in DIR is a function of the plan, its source and its data: a run that is killed at any moment goes
on from the last checkpoint that is whole, to the bytes that it would have written.
"""
