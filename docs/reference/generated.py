"""Pages that are made from the program itself when the site is built, so that they cannot be out of date."""

import typing

import typer
import typer.main
from pydantic import BaseModel

MARK = "<!-- {} -->"


def on_page_markdown(markdown: str, page: object, **_: object) -> str:
    """Called by mkdocs for every page: puts in what a mark stands for."""
    for name, make in (("commands", commands), ("profile", profile)):
        mark = MARK.format(name)
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    return markdown


def commands() -> str:
    """Every command with what it says of itself, its arguments and its options."""
    from imssa_lab.cli import app

    root = typer.main.get_command(app)
    return "\n\n".join(_commands(root, "imssa", typer.Context(root, info_name="imssa")))


def _commands(command: typing.Any, name: str, context: typer.Context) -> typing.Iterator[str]:
    if name != "imssa":
        text = (command.help or "").strip().replace("[", "\\[")
        yield f"## {name}\n\n{text}\n\n{_options(command, context)}".rstrip()
    for child, sub in getattr(command, "commands", {}).items():
        yield from _commands(sub, f"{name} {child}", typer.Context(sub, info_name=child, parent=context))


def _options(command: typing.Any, context: typer.Context) -> str:
    rows = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        record = getattr(parameter, "help", None) or ""
        shown = (
            ", ".join(f"`{name}`" for name in parameter.opts)
            if parameter.param_type_name == "option"
            else (f"`{(parameter.name or '').upper()}`")
        )
        default = parameter.get_default(context)
        if parameter.required:
            standard = "required"
        elif default is None or callable(default) or default == "":
            standard = ""
        else:
            standard = f"`{default}`"
        rows.append(f"| {shown} | {_cell(record)} | {standard} |")
    return "\n".join(["| option | meaning | without it |", "|---|---|---|", *rows]) if rows else ""


def profile() -> str:
    """Every section of a twin profile, those inside others too, with the unit and meaning of its fields."""
    from twin.profile import TwinProfile

    seen: list[type[BaseModel]] = []
    parts = [_section("the profile itself", TwinProfile, seen)]
    for name, field in TwinProfile.model_fields.items():
        for model in _models(field.annotation):
            parts += _with_inner(name, model, seen)
    return "\n\n".join(parts)


def _with_inner(name: str, model: type[BaseModel], seen: list[type[BaseModel]]) -> list[str]:
    """A section and those inside it; each kind once, under the first name that it has."""
    if model in seen:
        return []
    parts = [_section(f"[{name}]", model, seen)]
    for inner, field in model.model_fields.items():
        for kind in _models(field.annotation):
            parts += _with_inner(f"{name}.{inner}", kind, seen)
    return parts


def _section(title: str, model: type[BaseModel], seen: list[type[BaseModel]]) -> str:
    seen.append(model)
    rows = [
        f"| `{name}` | {_cell(field.description or '')} | {'required' if field.is_required() else 'optional'} |"
        for name, field in model.model_fields.items()
    ]
    about = (model.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip()
    return "\n".join([f"## {title}", "", about, "", "| key | unit and meaning | |", "|---|---|---|", *rows])


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("{", "&#123;").replace("[", "\\[")
