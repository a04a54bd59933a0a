"""The engine, loaded when the first `when:` is read, for its package takes half a second: it brings a command line."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import cel


def compiled(code: str) -> "cel.Program":
    """ValueError where it is no CEL. It must not nest deeply: the engine has no limit of its own below its stack's."""
    import cel

    return cel.compile(code)


def constant(code: str) -> Any:
    """What a literal, or a function of one, comes to; ValueError where it comes to nothing."""
    try:
        return compiled(code).execute()
    except (RuntimeError, ArithmeticError, TypeError):
        raise ValueError(f"`{code[:80]}` has no value") from None
