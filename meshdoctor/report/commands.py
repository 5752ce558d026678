"""How is a shell command shown so that it can still be copied?

A long command breaks only at spaces outside quotes, with a trailing backslash. A word that is
longer than the line stays whole: a terminal's own wrap copies as one line, ours would not.
"""


def fold(command: str, width: int, indent: str = "  ") -> list[str]:
    """The lines to show. A command of several lines is returned as it is: see `verbatim`."""
    if "\n" in command:
        return command.split("\n")
    if len(command) <= width or "#" in command:
        return [command]
    lines: list[str] = []
    line = ""
    for word in _units(words(command)):
        if line.strip() and len(line) + 1 + len(word) > width - 2:
            lines.append(line + " \\")
            line = indent + word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def _units(parts: list[str]) -> list[str]:
    """Words, with a flag's value kept beside the flag."""
    out: list[str] = []
    for part in parts:
        flag = out[-1] if out else ""
        if flag.startswith("-") and " " not in flag and "=" not in flag and part[:1] != "-":
            out[-1] = f"{flag} {part}"
        else:
            out.append(part)
    return out


def verbatim(command: str) -> bool:
    """Whether the lines must start in the first column: a here-document, or text in quotes."""
    lines = command.split("\n")
    return len(lines) > 1 and ("<<" in command or any(open_quote(line) for line in lines))


def words(command: str) -> list[str]:
    """The command cut at single spaces outside quotes; quotes and backslashes stay."""
    out = [""]
    quote = ""
    escaped = False
    for char in command:
        if char == " " and not quote and not escaped:
            out.append("")
            continue
        out[-1] += char
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    return out


def open_quote(line: str) -> bool:
    """Whether a quote opened on this line is still open at its end."""
    return len(words(line + " x")) == len(words(line))
