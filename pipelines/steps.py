"""What is done around every step of every run: what is logged meanwhile says of which run and step it is,
and the step is a span of the run's trace."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction
from dagster._core.definitions.node_definition import NodeDefinition

from resources import tracing
from resources.log_lines import told_about

WATCHED = "simsight_watched"


def watch(nodes: Iterable[NodeDefinition]) -> None:
    """Wrap the functions of ops, and of those that graphs are made of. Again, it changes nothing."""
    for node in nodes:
        if isinstance(node, dg.GraphDefinition):
            watch(node.node_defs)
        elif isinstance(node, dg.OpDefinition) and isinstance(node._compute_fn, DecoratedOpFunction):
            function = node._compute_fn.decorated_fn
            if not hasattr(function, WATCHED):
                node._compute_fn = node._compute_fn._replace(decorated_fn=_watched(function))


def _watched(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def around(*values: Any, **named: Any) -> Any:
            with _step():
                yield from function(*values, **named)

    else:

        @functools.wraps(function)
        def around(*values: Any, **named: Any) -> Any:
            with _step():
                return function(*values, **named)

    setattr(around, WATCHED, True)
    return around


@contextmanager
def _step() -> Iterator[None]:
    """The step that Dagster executes here; called by itself, as tests may, a function is none."""
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        yield
        return
    step = context.get_step_execution_context().step.key
    facts = {"run_id": context.run_id, "job": context.job_name, "step": step}
    if context.has_assets_def:
        facts["asset"] = ", ".join(sorted(key.to_user_string() for key in context.selected_asset_keys))
    named = {f"simsight.{name}": value for name, value in facts.items()}
    with tracing.span(f"step {step.partition('[')[0]}", named, run=context.run_id), told_about(**facts):
        yield
