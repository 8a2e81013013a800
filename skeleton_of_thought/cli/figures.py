"""What an answer cost, in words."""

from contextlib import AbstractContextManager

from ..answer import Answer
from ..calls import Usage


def say(text: str) -> None:
    """Print *text* on standard error, dimmed on a terminal."""
    # Here, because an answer that is piped needs none of it.
    from rich.console import Console

    console = Console(stderr=True)
    console.print(text, style="dim", markup=False, highlight=False, soft_wrap=not console.is_terminal)


def waiting(text: str) -> AbstractContextManager[object]:
    """Show on standard error, if it is a terminal, what is being waited for."""
    # Here, because an answer that is piped needs none of it.
    from rich.console import Console

    return Console(stderr=True).status(f"[dim]{text}")


def line(answer: Answer) -> str:
    """Sum up times, estimated speed-up, tokens in and out, and the way to *answer*, in one line of a terminal."""
    timings, usage = answer.timings, answer.total_usage
    parts = [f"{timings.total:.2f} s"]
    if timings.first_text is not None:
        parts.append(f"first text {timings.first_text:.2f} s")
    if answer.speed_up is not None:
        parts.append(f"about {answer.speed_up:.1f}x (estimate)")
    if usage != Usage():
        parts.append(f"{usage.input_tokens}+{usage.output_tokens} tokens")
    parts.append("skeleton" if answer.route.kind == "skeleton" else f"direct: {answer.route.why}")
    return " · ".join(parts)


def comparison(answer: Answer, direct: Answer) -> str:
    """Set *answer* beside the *direct* one, and say how far they can be compared."""
    rows = [("", "time", "first text", "tokens in", "tokens out"), _row("SoT", answer), _row("direct", direct)]
    table = "\n".join(f"{name:<6}" + "".join(f"{cell:>12}" for cell in cells) for name, *cells in rows)
    ratio = direct.timings.total / answer.timings.total
    return f"{table}\n{ratio:.2f}x as fast. {_per_length(answer, direct, ratio)}"


def _row(name: str, answer: Answer) -> tuple[str, ...]:
    usage, first = answer.total_usage, answer.timings.first_text
    tokens = (usage.input_tokens, usage.output_tokens) if usage != Usage() else ("?", "?")
    return name, f"{answer.timings.total:.2f} s", "-" if first is None else f"{first:.2f} s", *map(str, tokens)


def _per_length(answer: Answer, direct: Answer, ratio: float) -> str:
    length, direct_length, unit = _lengths(answer, direct)
    if not length or not direct_length:
        return "One of the two is empty."
    if length == direct_length:
        return f"Both have {length} {unit}."
    fair = f"{unit[:-1]} for {unit[:-1]} {ratio * length / direct_length:.2f}x"
    return f"But the lengths differ, {length} and {direct_length} {unit}: {fair}."


def _lengths(answer: Answer, direct: Answer) -> tuple[int, int, str]:
    """Measure what can be read: what the skeleton cost is a cost, and not a length."""
    tokens = answer.usage.get("point", Usage()).output_tokens
    direct_tokens = direct.total_usage.output_tokens
    if tokens and direct_tokens:
        return tokens, direct_tokens, "tokens"
    return len(answer.text), len(direct.text), "characters"
